#include "runtime/quantize/quantize_row.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "runtime/file/check.h"
#include "runtime/quantize/blocks.h"

namespace nibble {
namespace {

QuantizeBlock block_function(Format format) {
  switch (format) {
    case Format::kQ4_0:
      return to_q4_0;
    case Format::kQ4_1:
      return to_q4_1;
    case Format::kQ5_0:
      return to_q5_0;
    case Format::kQ5_1:
      return to_q5_1;
    case Format::kQ8_0:
      return to_q8_0;
    case Format::kIQ4_NL:
      return to_iq4_nl;
    case Format::kQ2_K:
      return to_q2_k;
    case Format::kQ3_K:
      return to_q3_k;
    case Format::kQ4_K:
      return to_q4_k;
    case Format::kQ5_K:
      return to_q5_k;
    case Format::kQ6_K:
      return to_q6_k;
    case Format::kIQ4_XS:
      return to_iq4_xs;
    default:
      return nullptr;
  }
}

bool is_float(Format format) {
  return format == Format::kF32 || format == Format::kF16 || format == Format::kBF16;
}

void round_floats(Format format, const float* x, size_t k, uint8_t* out) {
  if (format == Format::kF32) {
    std::memcpy(out, x, k * sizeof(float));
    return;
  }
  for (size_t i = 0; i < k; ++i) {
    const uint16_t half = format == Format::kF16 ? f16_from_f32(x[i]) : bf16_from_f32(x[i]);
    std::memcpy(out + 2 * i, &half, sizeof(half));
  }
}

// Importances with mean 1, and none so small that a column's stored values would mean nothing.
void normalized(const float* importance, size_t k, float* w) {
  constexpr float kLeast = 1e-3f;
  double sum = 0;
  for (size_t i = 0; i < k; ++i) sum += importance[i];
  const float scale = sum > 0 ? static_cast<float>(static_cast<double>(k) / sum) : 0.0f;
  for (size_t i = 0; i < k; ++i) w[i] = std::max(importance[i] * scale, kLeast);
}

}  // namespace

bool can_quantize(Format format) {
  return is_float(format) || block_function(format) != nullptr;
}

void quantize_row(Format format, const float* x, const float* importance, size_t k, uint8_t* out) {
  if (is_float(format)) return round_floats(format, x, k, out);
  const FormatInfo& info = format_info(format);
  const QuantizeBlock quantize = block_function(format);
  NIBBLE_CHECK(quantize != nullptr && k % info.block == 0);
  float w[256];
  std::fill(std::begin(w), std::end(w), 1.0f);
  std::vector<float> weights;
  if (importance != nullptr) {
    weights.resize(k);
    normalized(importance, k, weights.data());
  }
  for (size_t i = 0; i < k; i += info.block, out += info.block_bytes) {
    quantize({x + i, importance != nullptr ? weights.data() + i : w}, out);
  }
}

}  // namespace nibble
