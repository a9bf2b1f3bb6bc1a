#include "runtime/memory_plan.h"

#include <algorithm>
#include <cstdio>

#include "runtime/file/concat.h"
#include "runtime/lookup.h"
#include "runtime/quantize/quantize_model.h"

namespace nibble {
namespace {

constexpr int64_t kDefaultContext = 4096;
constexpr int64_t kMaxBatch = 4096;
constexpr int64_t kShortContext = 512;  // what any use needs
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kMerges = "tokenizer.ggml.merges";

Error out_of_range(const char* what, int64_t value, int64_t high, const char* why) {
  return Error{ErrorCode::kUsage, std::string(what) + " is " + std::to_string(value) +
                                      ", must be 1 to " + std::to_string(high) + why};
}

Format cache_format(KvFormat kv) {
  switch (kv) {
    case KvFormat::kF16:
      return Format::kF16;
    case KvFormat::kF32:
      return Format::kF32;
    case KvFormat::kQ8_0:
      return Format::kQ8_0;
    case KvFormat::kQ4_0:
      return Format::kQ4_0;
  }
  return Format::kF16;
}

size_t array_size(const GgufFile& file, const char* key) {
  const Result<const GgufArray*> array = file.get_array(key);
  return array && *array != nullptr ? (*array)->size() : 0;
}

// Measured with the vocabularies of Gemma 3, Qwen 3 and GPT-2: the header's pages, strings, scores
// and types, and the tokenizer's texts, priorities and hash tables take so much for each token and
// merge. A header without a vocabulary is of a file in the making, which will have one.
uint64_t text_bytes(const GgufFile& file, const ModelShape& shape) {
  constexpr uint64_t kTokenBytes = 128;
  constexpr uint64_t kMergeBytes = 90;
  const size_t tokens = array_size(file, kTokens);
  return (tokens > 0 ? tokens : shape.vocabulary) * kTokenBytes +
         array_size(file, kMerges) * kMergeBytes;
}

// Code, libraries, heap and stacks of `nibble run`, of which a model of a megabyte leaves so much.
constexpr uint64_t kProgramBytes = uint64_t{9} << 20;

std::string size_text(uint64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  char text[32];
  std::snprintf(text, sizeof(text), mib < 1024 ? "%.1f MiB" : "%.2f GiB",
                mib < 1024 ? mib : mib / 1024);
  return text;
}

// The largest type of the model that fits where this file does not; empty: none.
std::string smaller_type(const GgufFile& file, const KernelSet& kernels, const ModelMemory& model,
                         const LoadOptions& options, uint64_t room) {
  std::string best;
  uint64_t best_bytes = 0;
  for (const char* name : {"Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K"}) {
    QuantizeOptions quantize;
    quantize.mix = find_mix(name);
    const Result<QuantizePlan> plan = plan_quantization(file, quantize, kernels);
    if (!plan) return {};
    const auto memory = model_memory(quantized_header(file, *plan), kernels, options.head);
    if (!memory || memory->total() >= model.total() || memory->total() > room) continue;
    const int64_t context = largest_context(model.shape, options.session, room - memory->total());
    if (context < std::min(kShortContext, model.shape.context) || memory->total() < best_bytes) {
      continue;
    }
    best = name;
    best_bytes = memory->total();
  }
  return best;
}

// "a context of 2048 (-c 2048) or --kv q8_0 would fit"
std::string what_fits(const GgufFile& file, const KernelSet& kernels, const ModelMemory& model,
                      const LoadOptions& options, uint64_t room) {
  std::string text;
  const auto add = [&](const std::string& way) { text += (text.empty() ? "" : ", or ") + way; };
  if (model.total() < room) {
    const uint64_t left = room - model.total();
    const int64_t context = largest_context(model.shape, options.session, left);
    if (context > 0) add(concat("a context of ", context, " (-c ", context, ")"));
    const auto now = session_memory(model.shape, options.session);
    for (const auto& [kv, name] : {std::pair{KvFormat::kQ8_0, "q8_0"}, {KvFormat::kQ4_0, "q4_0"}}) {
      SessionOptions smaller = options.session;
      smaller.kv = kv;
      const auto memory = session_memory(model.shape, smaller);
      if (!now || !memory || memory->total() > left || memory->kv >= now->kv) continue;
      add(concat("a smaller KV cache (--kv ", name, ")"));
      break;
    }
    if (context >= kShortContext) return text + " would fit";
  }
  const std::string type = smaller_type(file, kernels, model, options, room);
  if (!type.empty()) add("a " + type + " file of this model");
  return text.empty() ? "no type of this model would fit; use a smaller model"
                      : text + " would fit";
}

}  // namespace

ModelMemory model_memory(const GgufFile& file, const Network& network, const WeightLoader& loader,
                         const KernelSet& kernels, HeadMode head) {
  ModelMemory memory;
  memory.shape = network.shape();
  memory.packed = loader.buffer_bytes();
  memory.in_place = loader.in_place_bytes();
  if (head == HeadMode::kScreened) memory.screen = network.head().screen_bytes(kernels);
  for (const PlacedTensor& placed : loader.placed()) {
    if (placed.place == Place::kFloats) memory.floats += placed.bytes;
    if (placed.place == Place::kRows) memory.on_demand += placed.bytes;
  }
  const uint64_t head_bytes = network.head().exact.bytes();
  memory.decode_bytes = network.layer_bytes() + (memory.screen > 0 ? memory.screen : head_bytes);
  if (memory.screen > 0) {
    memory.in_place -= head_bytes;
    if (file.tensor("output.weight") != nullptr) memory.on_demand += head_bytes;
  }
  memory.int8_products = network.int8_products();
  memory.text = text_bytes(file, memory.shape);
  memory.program = kProgramBytes;
  return memory;
}

Result<ModelMemory> model_memory(const GgufFile& file, const KernelSet& kernels, HeadMode head) {
  WeightLoader loader(file, kernels, FileParts::kHeader);
  Network network;
  NIBBLE_TRY_VOID(network.load(file, loader));
  return model_memory(file, network, loader, kernels, head);
}

Result<SessionMemory> session_memory(const ModelShape& shape, const SessionOptions& options) {
  SessionMemory memory;
  memory.context =
      options.context == 0 ? std::min(shape.context, kDefaultContext) : options.context;
  if (memory.context < 1 || memory.context > shape.context) {
    return out_of_range("context", memory.context, shape.context,
                        ", the length the model was trained for");
  }
  if (options.batch < 1 || options.batch > kMaxBatch) {
    return out_of_range("batch", options.batch, kMaxBatch, "");
  }
  memory.batch = std::min(options.batch, memory.context);
  memory.kv_format = cache_format(options.kv);
  const FormatInfo& kv = format_info(memory.kv_format);
  if (shape.head_dim % kv.block != 0) {
    return Error{ErrorCode::kUsage, std::string("a ").append(kv.name).append(
                                        " KV cache needs heads of a multiple of ") +
                                        std::to_string(kv.block) + " numbers, this model's have " +
                                        std::to_string(shape.head_dim) + "; use f16"};
  }
  const size_t depth =
      std::max({shape.embedding, shape.heads * shape.head_dim, shape.feed_forward});
  const auto rows = static_cast<size_t>(memory.batch);
  memory.ops = {rows, depth, shape.heads, shape.head_dim, static_cast<size_t>(memory.context)};
  memory.kv = KvCache::bytes(shape.kv_shape(), memory.context, memory.batch, memory.kv_format);
  memory.scratch = OpsScratch::bytes(memory.ops) + Activations::bytes(shape, rows) +
                   Lookup::kMostRows * shape.vocabulary * sizeof(float);
  return memory;
}

int64_t largest_context(const ModelShape& shape, SessionOptions options, uint64_t bytes) {
  const auto fits = [&](int64_t context) {
    options.context = context;
    const auto memory = session_memory(shape, options);
    return memory && memory->total() <= bytes;
  };
  if (fits(shape.context)) return shape.context;
  int64_t low = 0;  // in blocks: fits, but for 0
  int64_t high = shape.context / NIBBLE_KEY_BLOCK + 1;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (fits(std::min(middle * NIBBLE_KEY_BLOCK, shape.context)) ? low : high) = middle;
  }
  return low * NIBBLE_KEY_BLOCK;
}

MemoryLimit memory_limit(const Topology& topology, uint64_t asked) {
  MemoryLimit limit;
  const auto lower = [&](uint64_t bytes, std::string_view whose) {
    if (bytes != 0 && (limit.bytes == 0 || bytes < limit.bytes)) limit = {bytes, whose};
  };
  lower(topology.memory_bytes, "this machine has");
  lower(topology.memory_limit_bytes, "the memory limit of this container (cgroup) is");
  lower(asked, "--memory allows");
  return limit;
}

Result<uint64_t> check_memory(const GgufFile& file, const KernelSet& kernels,
                              const ModelMemory& model, const LoadOptions& options,
                              const MemoryLimit& limit) {
  SessionOptions session = options.session;
  session.context = std::min(session.context, model.shape.context);  // Session::create() refuses it
  const auto memory = session_memory(model.shape, session);
  const uint64_t reserved = options.reserved_bytes;
  if (!memory) return memory.error();
  const uint64_t needed = model.total() + memory->total();
  if (limit.bytes == 0 || needed + reserved <= limit.bytes) return needed;
  LoadOptions wanted = options;
  wanted.session = session;
  return Error{
      ErrorCode::kOs,
      concat(
          file.path(), ": needs ", size_text(needed), " of memory (weights ",
          size_text(model.weights()), ", KV cache for ", memory->context, " tokens ",
          size_text(memory->kv), ", scratch ", size_text(memory->scratch),
          ", vocabulary and program ", size_text(model.text + model.program), "), ", limit.whose,
          " ", size_text(limit.bytes),
          reserved > 0 ? concat(", of which ", size_text(reserved), " are in use") : "", "; ",
          what_fits(file, kernels, model, wanted, limit.bytes - std::min(limit.bytes, reserved)))};
}

}  // namespace nibble
