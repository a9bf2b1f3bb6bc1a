// What plain rounding stores: scales from the largest weight (or the ends of the range), no search.
// The quantisers must never lose more. Read next: quantize_row_test.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <ostream>
#include <vector>

#include "runtime/quantize/fit.h"
#include "simd/format.h"

namespace nibble::test {

// How a format stores weights: levels low .. high, a scale (and a minimum) for `sub` weights, codes
// up to `code` for them in super-blocks (0: the scale is a half).
struct Storage {
  Format format;
  size_t sub;
  float low, high;
  bool offset;
  float code;
};

inline void PrintTo(const Storage& storage, std::ostream* out) {
  *out << format_info(storage.format).name;
}

inline constexpr Storage kStorages[] = {
    {Format::kQ4_0, 32, -8, 7, false, 0},     {Format::kQ5_0, 32, -16, 15, false, 0},
    {Format::kQ8_0, 32, -127, 127, false, 0}, {Format::kQ4_1, 32, 0, 15, true, 0},
    {Format::kQ5_1, 32, 0, 31, true, 0},      {Format::kIQ4_NL, 32, -127, 113, false, 0},
    {Format::kQ2_K, 16, 0, 3, true, 15},      {Format::kQ3_K, 16, -4, 3, false, 32},
    {Format::kQ4_K, 32, 0, 15, true, 63},     {Format::kQ5_K, 32, 0, 31, true, 63},
    {Format::kQ6_K, 16, -32, 31, false, 128}, {Format::kIQ4_XS, 32, -127, 113, false, 32},
};

inline float nearest_level(const Storage& storage, float y) {
  if (storage.low == -127 && storage.high == 113) return Iq4Levels::nearest(y);
  return std::nearbyint(std::clamp(y, storage.low, storage.high));
}

// The stored values of one block.
inline void round_plainly(const Storage& storage, const float* x, size_t block, float* stored) {
  std::vector<float> scales, minimums;
  for (size_t at = 0; at < block; at += storage.sub) {
    float low = 0, high = 0;
    if (storage.offset && storage.code == 0) low = high = x[at];
    for (size_t i = at; i < at + storage.sub; ++i) {
      low = std::min(low, x[i]);
      high = std::max(high, x[i]);
    }
    const float top = -low > high ? low : high;
    scales.push_back(storage.offset ? (high - low) / storage.high : top / storage.low);
    minimums.push_back(storage.offset ? low : 0);
  }
  float scale_unit = 0, minimum_unit = 0;
  if (storage.code > 0) {
    for (size_t j = 0; j < scales.size(); ++j) {
      if (std::abs(scales[j]) > std::abs(scale_unit)) scale_unit = scales[j];
      minimum_unit = std::min(minimum_unit, minimums[j]);
    }
    scale_unit = nearest_half(scale_unit / storage.code);
    minimum_unit = nearest_half(minimum_unit / storage.code);
  }
  const auto coded = [&](float value, float unit) {
    if (storage.code == 0) return nearest_half(value);
    const float code = std::nearbyint(value * inverse(unit));
    return unit * std::clamp(code, storage.offset ? 0.0f : -storage.code,
                             storage.offset ? storage.code : storage.code - 1);
  };
  for (size_t i = 0; i < block; ++i) {
    const float scale = coded(scales[i / storage.sub], scale_unit);
    const float minimum = coded(minimums[i / storage.sub], minimum_unit);
    stored[i] = scale * nearest_level(storage, (x[i] - minimum) * inverse(scale)) + minimum;
  }
}

}  // namespace nibble::test
