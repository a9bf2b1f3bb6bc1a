// Opening a model: file, architecture, weights, tokenizer, chat template.
#include "runtime/engine_impl.h"
#include "runtime/model_impl.h"

namespace nibble {
namespace {

Result<const Architecture*> find_architecture(const GgufFile& file) {
  NIBBLE_TRY(const std::string name, file.get_string("general.architecture"));
  std::string known;
  for (const Architecture* architecture : architectures()) {
    if (architecture->name == name) return architecture;
    known += (known.empty() ? "" : ", ") + std::string(architecture->name);
  }
  return Error{ErrorCode::kData, file.path() + ": architecture \"" + name +
                                     "\" is not supported; this version knows " + known};
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

  NIBBLE_TRY(const Architecture* architecture, find_architecture(impl.file));
  impl.architecture = architecture->name;
  WeightLoader loader(impl.file, machine.kernels);
  NIBBLE_TRY(impl.network, architecture->load(impl.file, loader));
  {
    const std::lock_guard lock(machine.regions);
    NIBBLE_TRY(impl.packed, loader.pack(*machine.team, options.progress));
    if (options.head == HeadMode::kScreened) {
      NIBBLE_TRY_VOID(impl.network->head().build_screen(machine.kernels, *machine.team, impl.file));
    }
  }
  impl.weight_bytes = impl.packed.size() + loader.in_place_bytes();
  for (const std::string& name : loader.unused()) {
    impl.notes.push_back("tensor " + name + " is not used by architecture " + impl.architecture);
  }

  NIBBLE_TRY(impl.tokenizer, Tokenizer::load(impl.file));
  if (impl.tokenizer->vocabulary_size() > impl.network->shape().vocabulary) {
    return Error{ErrorCode::kData, path + ": tokenizer.ggml.tokens has " +
                                       std::to_string(impl.tokenizer->vocabulary_size()) +
                                       " tokens, but token_embd.weight has only " +
                                       std::to_string(impl.network->shape().vocabulary) + " rows"};
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
  return impl_->network->shape().context;
}
int64_t Model::vocabulary_size() const {
  return static_cast<int64_t>(impl_->network->shape().vocabulary);
}
uint64_t Model::weight_bytes() const {
  return impl_->weight_bytes;
}
uint64_t Model::decode_bytes() const {
  return impl_->network->layer_bytes() + impl_->network->head().decode_bytes();
}
uint64_t Model::kv_bytes(int64_t tokens) const {
  return KvCache::bytes(impl_->network->shape().kv_shape(), tokens, SessionOptions{}.batch,
                        Format::kF16);
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
  SamplingOptions options;  // Gemma's own recommendation: temperature 1.0, top-k 64, top-p 0.95
  if (!model.architecture().starts_with("gemma")) {
    options.temperature = 0.8f;
    options.top_k = 40;
    options.min_p = 0.05f;
  }
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
