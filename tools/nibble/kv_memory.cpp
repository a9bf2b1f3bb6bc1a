#include "tools/nibble/kv_memory.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "runtime/file/check.h"
#include "simd/abi.h"

namespace nibble::cli {
namespace {

constexpr uint64_t kMostLayers = 10000;
constexpr uint64_t kMostContext = uint64_t{1} << 30;

std::optional<uint64_t> number(const GgufFile& file, std::string_view name) {
  const auto architecture = file.get_string("general.architecture");
  if (!architecture) return std::nullopt;
  const auto value = file.get_uint(*architecture + "." + std::string(name));
  return value ? std::optional(*value) : std::nullopt;
}

const GgufArray* array(const GgufFile& file, std::string_view name) {
  const auto architecture = file.get_string("general.architecture");
  if (!architecture) return nullptr;
  const auto value = file.get_array(*architecture + "." + std::string(name));
  return value ? *value : nullptr;
}

// Keys and values of one position of one layer, as numbers.
std::optional<uint64_t> position_width(const GgufFile& file, uint64_t layer) {
  const auto heads = number(file, "attention.head_count");
  auto kv_heads = number(file, "attention.head_count_kv");
  if (const GgufArray* each = array(file, "attention.head_count_kv")) {  // one for each layer
    if (layer < each->uints.size()) kv_heads = each->uints[layer];
    if (layer < each->ints.size()) kv_heads = static_cast<uint64_t>(each->ints[layer]);
  }
  if (!kv_heads) kv_heads = heads;
  const auto embedding = number(file, "embedding_length");
  std::optional<uint64_t> width;
  if (heads && embedding && *heads > 0) width = *embedding / *heads;
  const auto key = number(file, "attention.key_length");
  const auto value = number(file, "attention.value_length");
  if (!kv_heads || !(key || width) || !(value || width)) return std::nullopt;
  const auto both = checked_add(key ? *key : *width, value ? *value : *width);
  return both ? checked_mul(*both, *kv_heads) : std::nullopt;
}

// Whether a layer sees a sliding window only.
bool is_local(const GgufFile& file, uint64_t layer) {
  if (const GgufArray* each = array(file, "attention.sliding_window_pattern")) {
    return layer < each->uints.size() && each->uints[layer] != 0;
  }
  const uint64_t period = number(file, "attention.sliding_window_pattern").value_or(6);
  return period > 0 && layer % period < period - 1;
}

uint64_t round_up_to_key_block(uint64_t positions) {
  return (positions + NIBBLE_KEY_BLOCK - 1) / NIBBLE_KEY_BLOCK * NIBBLE_KEY_BLOCK;
}

}  // namespace

std::optional<uint64_t> kv_cache_bytes(const GgufFile& file, uint64_t context) {
  constexpr uint64_t kBatch = 256, kElementBytes = 2;
  const auto layers = number(file, "block_count");
  if (!layers || *layers > kMostLayers || context > kMostContext) return std::nullopt;
  const auto architecture = file.get_string("general.architecture", "");
  const bool windowed = architecture && *architecture == "gemma3";
  const uint64_t window = windowed ? number(file, "attention.sliding_window").value_or(0) : 0;
  const uint64_t all = round_up_to_key_block(context);
  const uint64_t ring = window > 0 && window < context
                            ? std::min(all, round_up_to_key_block(window + kBatch - 1))
                            : all;
  std::optional<uint64_t> total = 0;
  for (uint64_t layer = 0; layer < *layers; ++layer) {
    const auto width = position_width(file, layer);
    const auto layer_numbers =
        width ? checked_mul(*width, is_local(file, layer) ? ring : all) : std::nullopt;
    const auto bytes = layer_numbers ? checked_mul(*layer_numbers, kElementBytes) : std::nullopt;
    total = bytes ? checked_add(*total, *bytes) : std::nullopt;
    if (!total) return std::nullopt;
  }
  return total;
}

std::vector<uint64_t> kv_table_contexts(const GgufFile& file) {
  const uint64_t trained = std::min(number(file, "context_length").value_or(0), kMostContext);
  std::vector<uint64_t> contexts;
  for (uint64_t context = 2048; context < trained; context *= 2) contexts.push_back(context);
  if (trained > 0) contexts.push_back(trained);
  return contexts;
}

}  // namespace nibble::cli
