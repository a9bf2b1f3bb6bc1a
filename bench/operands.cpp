#include "bench/operands.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "simd/format.h"
#include "simd/layout.h"
#include "simd/registry.h"

namespace nibble {
namespace {

// Replaces the exponent of the half at `p`; `rest` masks its sign and mantissa.
void set_exponent(uint8_t* p, int exponent, int rest) {
  uint16_t half;
  std::memcpy(&half, p, sizeof(half));
  half = static_cast<uint16_t>(exponent | (half & rest));
  std::memcpy(p, &half, sizeof(half));
}

}  // namespace

std::vector<uint8_t> random_rows(Format format, size_t n, size_t k) {
  std::mt19937_64 random(1);
  const FormatInfo& info = format_info(format);
  std::vector<uint8_t> rows(n * row_bytes(format, k));
  for (size_t i = 0; i < rows.size(); i += sizeof(uint64_t)) {
    const uint64_t eight = random();
    std::memcpy(&rows[i], &eight, std::min(sizeof(eight), rows.size() - i));
  }
  // Scales and floats: random sign and mantissa, an exponent that is neither huge nor tiny.
  for (size_t b = 0; b < rows.size(); b += info.block_bytes) {
    uint8_t* block = rows.data() + b;
    if (format == Format::kF32) {
      uint32_t word;
      std::memcpy(&word, block, sizeof(word));
      word = 0x3c000000 | (word & 0x80ffffff);  // about 0.01
      std::memcpy(block, &word, sizeof(word));
    } else if (info.block == 1) {
      set_exponent(block, format == Format::kBF16 ? 0x3c00 : 0x2000,
                   format == Format::kBF16 ? 0x80ff : 0x83ff);
    } else {
      for (size_t i = 0; i < info.scales; ++i) {
        set_exponent(block + info.scale_at + 2 * i, 0x2000, 0x83ff);
      }
      if (format == Format::kMXFP4) block[0] = 120;  // an exponent alone, about 0.01
    }
  }
  return rows;
}

std::vector<float> random_floats(size_t count) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> value(-1, 1);
  std::vector<float> floats(count);
  for (float& f : floats) f = value(random);
  return floats;
}

std::vector<uint8_t> random_activations(Activation form, size_t m, size_t k) {
  const std::vector<float> x = random_floats(m * k);
  if (form == Activation::kF32) {
    std::vector<uint8_t> bytes(x.size() * sizeof(float));
    std::memcpy(bytes.data(), x.data(), bytes.size());
    return bytes;
  }
  std::vector<uint8_t> panels(activation_bytes(m, k));
  const auto quantize = select_kernel(Op::kQuantizeRow, Format::kF32, 0)->entry->fn.quantize;
  for (size_t t = 0; t < m; ++t) {
    const size_t first = t / NIBBLE_PANEL * NIBBLE_PANEL;
    const QuantizeArgs args = {x.data() + t * k, k, panels.data() + activation_bytes(first, k),
                               std::min<size_t>(m - first, NIBBLE_PANEL), t - first};
    quantize(&args);
  }
  return panels;
}

}  // namespace nibble
