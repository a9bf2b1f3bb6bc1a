#include "tools/nibble/kv_memory.h"

#include <algorithm>
#include <string>

#include "runtime/kv_cache.h"
#include "runtime/model/architecture.h"

namespace nibble::cli {
namespace {

constexpr int64_t kBatch = 256;  // SessionOptions::batch
constexpr int64_t kContextMax = int64_t{1} << 30;

// Whether a layer of a Gemma 3 model sees a sliding window only.
bool is_local(const HyperReader& read, size_t layer) {
  const std::string key = read.name("attention.sliding_window_pattern");
  if (const auto flags = read.file().get_array(key); flags && *flags != nullptr) {
    return layer < (*flags)->uints.size() && (*flags)->uints[layer] != 0;
  }
  const auto period = read.size("attention.sliding_window_pattern", 1, 1024, 6);
  return period && layer % *period != *period - 1;
}

std::optional<ModelShape> model_shape(const GgufFile& file) {
  const auto architecture = file.get_string("general.architecture");
  if (!architecture) return std::nullopt;
  const HyperReader read(file, *architecture);
  auto shape = read.shape();
  if (!shape) return std::nullopt;
  const auto window = read.size("attention.sliding_window", 0, 1ull << 31, 0);
  if (*architecture == "gemma3" && window && *window > 0) {
    for (size_t i = 0; i < shape->layers; ++i) {
      if (is_local(read, i)) shape->windows[i] = *window;
    }
  }
  return std::move(*shape);
}

}  // namespace

std::vector<KvMemory> kv_memory_table(const GgufFile& file) {
  const auto shape = model_shape(file);
  if (!shape) return {};
  const int64_t trained = std::min(shape->context, kContextMax);
  std::vector<KvMemory> table;
  const auto add = [&](int64_t context) {
    table.push_back({context, KvCache::bytes(shape->kv_shape(), context, kBatch, Format::kF16)});
  };
  for (int64_t context = 2048; context < trained; context *= 2) add(context);
  add(trained);
  return table;
}

}  // namespace nibble::cli
