// Opening a model: file, architecture, weights, tokenizer, chat template.
#include <algorithm>
#include <mutex>

#include "runtime/engine_impl.h"
#include "runtime/machine/node_model.h"
#include "runtime/memory_plan.h"
#include "runtime/model_impl.h"

namespace nibble {
namespace {

// A block without one of its weights computes something else: that is an error, the rest a note.
Result<void> check_unused(const GgufFile& file, const WeightLoader& loader,
                          const std::string& architecture, std::vector<std::string>* notes) {
  for (const std::string& name : loader.unused()) {
    const std::string text = "tensor " + name + " is not used by architecture " + architecture;
    // attn_rot_embd: a table of angles that writers of 2023 added.
    const bool is_part = name.starts_with("blk.") || name.starts_with("output");
    if (is_part && name.find("attn_rot_embd") == std::string::npos) {
      return Error{ErrorCode::kData, file.path() + ": " + text +
                                         ": answers would be wrong without it; use another file "
                                         "of this model, or another model"};
    }
    notes->push_back(text);
  }
  return {};
}

// What the publishers recommend, by architecture; the first that fits.
struct FamilySampling {
  std::string_view prefix;
  float temperature;
  int top_k;
  float top_p, min_p;
};
constexpr FamilySampling kFamilySampling[] = {
    {"gemma", 1.0f, 64, 0.95f, 0},  {"qwen3", 0.6f, 20, 0.95f, 0},   {"qwen2", 0.7f, 20, 0.8f, 0},
    {"smollm3", 0.6f, 0, 0.95f, 0}, {"mistral3", 0.15f, 0, 1.0f, 0}, {"", 0.8f, 40, 0.95f, 0.05f},
};

// The whole team, or the workers of one memory node where a model is faster there.
void choose_workers(Model::Impl* impl) {
  const Engine& engine = *impl->engine;
  const TeamPlan& plan = engine.impl().team->plan();
  impl->decoders = engine.threads();
  impl->readers = engine.prompt_threads();
  if (!plan.bind_memory) return;
  const Network& network = impl->network;
  const int of_one = std::min(plan.decoders_of_one_node(), impl->decoders);
  const bool spread =
      plan.nodes_chosen || is_faster_spread(network.layer_bytes() + network.head().exact.bytes(),
                                            network.shape().layers, plan.nodes.size());
  if (!spread) impl->decoders = impl->readers = of_one;
  const auto used = impl->decoders > of_one ? plan.nodes.size() : 1;
  impl->nodes.assign(plan.nodes.begin(), plan.nodes.begin() + static_cast<ptrdiff_t>(used));
}

std::string token_text(const Tokenizer& tokenizer, int32_t id) {
  return id < 0 ? std::string() : std::string(tokenizer.piece(id, /*special=*/true));
}

}  // namespace

Model::Model() = default;
Model::~Model() = default;

Result<std::shared_ptr<Model>> Model::load(std::shared_ptr<Engine> engine, const std::string& path,
                                           const LoadOptions& options) {
  NIBBLE_TRY(GgufFile file, GgufFile::open(path));
  std::shared_ptr<Model> model(new Model);
  model->impl_ = std::make_unique<Impl>(std::move(file));
  Impl& impl = *model->impl_;
  impl.engine = std::move(engine);
  Engine::Impl& machine = impl.engine->impl();

  WeightLoader loader(impl.file, machine.kernels);
  NIBBLE_TRY_VOID(impl.network.load(impl.file, loader));
  NIBBLE_TRY(impl.architecture, impl.file.get_string("general.architecture"));
  NIBBLE_TRY_VOID(check_unused(impl.file, loader, impl.architecture, &impl.notes));
  NIBBLE_TRY(
      impl.planned_bytes,
      check_memory(impl.file, machine.kernels,
                   model_memory(impl.file, impl.network, loader, machine.kernels, options.head),
                   options, memory_limit(machine.topology, options.memory_limit)));
  choose_workers(&impl);
  OutputHead& head = impl.network.head();
  {
    std::unique_lock lock(machine.regions);
    machine.team->use(impl.decoders);
    // The steps of other models go on meanwhile.
    const auto others_turn = [&] {
      lock.unlock();
      lock.lock();
      machine.team->use(impl.decoders);
    };
    const ThreadTeam::Caller caller(*machine.team);
    const bool screened =
        options.head == HeadMode::kScreened && head.screen_bytes(machine.kernels) > 0;
    if (screened) loader.leave_in_place(head.exact);
    NIBBLE_TRY(impl.packed, loader.pack(*machine.team, options.progress, others_turn));
    if (screened) {
      NIBBLE_TRY_VOID(head.build_screen(machine.kernels, *machine.team, impl.file,
                                        OutputHead::kWorthScreening, others_turn));
    }
  }
  impl.placed = impl.packed.sample();
  impl.placed.add(head.memory().sample());
  impl.weight_bytes = impl.packed.size() + loader.in_place_bytes();

  NIBBLE_TRY(impl.tokenizer, Tokenizer::load(impl.file));
  if (impl.tokenizer->vocabulary_size() > impl.network.shape().vocabulary) {
    return Error{ErrorCode::kData, path + ": tokenizer.ggml.tokens has " +
                                       std::to_string(impl.tokenizer->vocabulary_size()) +
                                       " tokens, but token_embd.weight has only " +
                                       std::to_string(impl.network.shape().vocabulary) + " rows"};
  }
  NIBBLE_TRY(const std::string source, impl.file.get_string("tokenizer.chat_template", ""));
  impl.has_template = !source.empty();
  const Tokenizer& tokenizer = *impl.tokenizer;
  impl.chat = std::make_unique<ChatTemplate>(
      ChatTemplate::create(source, impl.architecture, token_text(tokenizer, tokenizer.bos()),
                           token_text(tokenizer, tokenizer.eos())));
  impl.notes.insert(impl.notes.end(), tokenizer.notes().begin(), tokenizer.notes().end());
  if (impl.has_template) {
    impl.notes.insert(impl.notes.end(), impl.chat->notes().begin(), impl.chat->notes().end());
  }
  NIBBLE_TRY_VOID(impl.file.check_read());
  return model;
}

const std::string& Model::path() const {
  return impl_->file.path();
}
const std::string& Model::architecture() const {
  return impl_->architecture;
}

std::string Model::name() const {
  const auto name = impl_->file.get_string("general.name", "");
  if (name && !name->empty()) return *name;
  return path().substr(path().find_last_of('/') + 1);
}

int64_t Model::context_length() const {
  return impl_->network.shape().context;
}
int64_t Model::vocabulary_size() const {
  return static_cast<int64_t>(impl_->network.shape().vocabulary);
}
uint64_t Model::weight_bytes() const {
  return impl_->weight_bytes;
}
uint64_t Model::planned_bytes() const {
  return impl_->planned_bytes;
}
uint64_t Model::decode_bytes() const {
  return impl_->network.layer_bytes() + impl_->network.head().decode_bytes();
}
uint64_t Model::int8_products() const {
  return impl_->network.int8_products();
}
uint64_t Model::kv_bytes(int64_t tokens) const {
  return KvCache::bytes(impl_->network.shape().kv_shape(), tokens, SessionOptions{}.batch,
                        Format::kF16);
}
Model::Placement Model::placement() const {
  const int nodes = std::max<int>(1, static_cast<int>(impl_->nodes.size()));
  return {impl_->decoders, nodes, impl_->placed.pages, impl_->placed.right};
}
bool Model::is_chat_model() const {
  return impl_->has_template;
}
std::vector<std::string> Model::notes() const {
  return impl_->notes;
}

std::vector<int32_t> Model::tokenize(std::string_view text, bool add_bos,
                                     bool parse_special) const {
  return impl_->tokenizer->encode(text, {add_bos, parse_special});
}

std::string Model::detokenize(std::span<const int32_t> ids) const {
  return impl_->tokenizer->decode({ids.begin(), ids.end()});
}

SamplingOptions recommended_sampling(const Model& model) {
  SamplingOptions options;
  for (const FamilySampling& family : kFamilySampling) {
    if (!model.architecture().starts_with(family.prefix)) continue;
    options.temperature = family.temperature;
    options.top_k = family.top_k;
    options.top_p = family.top_p;
    options.min_p = family.min_p;
    break;
  }
  // Files may hold their publisher's settings; what is out of range is left alone.
  const GgufFile& file = model.impl().file;
  const auto set = [&](const char* key, double high, float* value) {
    const auto found = file.get_float(key, *value);
    if (found && *found >= 0 && *found <= high) *value = static_cast<float>(*found);
  };
  set("general.sampling.temp", 100, &options.temperature);
  set("general.sampling.top_p", 1, &options.top_p);
  set("general.sampling.min_p", 1, &options.min_p);
  const auto top_k = file.get_uint("general.sampling.top_k", 1 << 30);
  if (top_k && *top_k < 1 << 30) options.top_k = static_cast<int>(*top_k);
  return options;
}

std::string_view stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::kEndOfTurn:
      return "end";
    case StopReason::kStopString:
      return "stop";
    case StopReason::kMaxTokens:
      return "length";
    case StopReason::kContextFull:
      return "context";
    case StopReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

}  // namespace nibble
