// Inputs for kernels, made from a seed: the same for every ISA level, so that levels can be
// compared. Read next: kernels_test.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "simd/format.h"
#include "simd/half_inl.h"
#include "simd/layout.h"
#include "simd/registry.h"

namespace nibble {

// What inputs are beside being random.
enum class Flavour {
  kPlain,
  kZeros,      // scales and activations 0
  kTiny,       // scales subnormal, activations down to subnormal
  kExtreme,    // every weight the most negative, every activation +-1 (so +-127 in Q8)
  kNotFinite,  // a NaN and infinities among the floats
};
inline constexpr Flavour kFlavours[] = {Flavour::kPlain, Flavour::kZeros, Flavour::kTiny,
                                        Flavour::kExtreme, Flavour::kNotFinite};

struct Shape {
  size_t m = 1, n = 1, k = 1;
};

inline std::vector<float> make_floats(size_t count, Flavour flavour, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> x(count);
  for (float& value : x) {
    value = uniform(random);
    switch (flavour) {
      case Flavour::kPlain:
        value *= 4.0f;
        break;
      case Flavour::kZeros:
        value = 0.0f;
        break;
      case Flavour::kTiny:
        value *= random() % 2 == 0 ? 1e-37f : 1e-43f;
        break;
      case Flavour::kExtreme:
        value = value < 0 ? -1.0f : 1.0f;
        break;
      case Flavour::kNotFinite:
        break;
    }
  }
  if (flavour == Flavour::kNotFinite) {
    x[random() % count] = std::numeric_limits<float>::quiet_NaN();
    x[random() % count] = std::numeric_limits<float>::infinity();
    x[random() % count] = -std::numeric_limits<float>::infinity();
  }
  return x;
}

// n rows of depth k as they lie in a file. Scales stay finite: pack_rows refuses others.
inline std::vector<uint8_t> make_weights(Format format, const Shape& shape, Flavour flavour,
                                         unsigned seed) {
  std::mt19937 random(seed);
  const size_t count = shape.n * shape.k;
  std::vector<uint8_t> bytes(shape.n * row_bytes(format, shape.k));
  if (format == Format::kF32 || format == Format::kF16 || format == Format::kBF16) {
    const std::vector<float> floats = make_floats(count, flavour, seed);
    for (size_t i = 0; i < count; ++i) {
      const uint16_t f16 = f16_from_f32(floats[i]), bf16 = bf16_from_f32(floats[i]);
      if (format == Format::kF32) std::memcpy(&bytes[i * 4], &floats[i], 4);
      if (format == Format::kF16) std::memcpy(&bytes[i * 2], &f16, 2);
      if (format == Format::kBF16) std::memcpy(&bytes[i * 2], &bf16, 2);
    }
    return bytes;
  }
  const FormatInfo& info = format_info(format);
  std::uniform_real_distribution<float> scale(-0.1f, 0.1f);
  // Codes all 0, or, in every other set, all ones.
  const uint8_t extreme = format == Format::kQ4_0 || seed % 2 == 0 ? 0x00 : 0xff;
  for (uint8_t& byte : bytes) {
    byte = static_cast<uint8_t>(random());
    if (flavour == Flavour::kExtreme) byte = format == Format::kQ8_0 ? 0x80 : extreme;
  }
  for (size_t block = 0; block < bytes.size(); block += info.block_bytes) {
    for (size_t i = 0; i < info.scales; ++i) {
      uint16_t d = f16_from_f32(scale(random));
      if (flavour == Flavour::kZeros) d = random() % 2 == 0 ? 0x0000 : 0x8000;
      if (flavour == Flavour::kTiny) d = static_cast<uint16_t>(random() & 0x83ff);
      if (flavour == Flavour::kExtreme) d = 0x7bff;  // 65504
      std::memcpy(&bytes[block + info.scale_at + i * sizeof(d)], &d, sizeof(d));
    }
    // An exponent alone: about 1, or the extremes.
    if (format == Format::kMXFP4) {
      bytes[block] = static_cast<uint8_t>(flavour == Flavour::kExtreme ? 254 : 120 + random() % 8);
      if (flavour == Flavour::kZeros) bytes[block] = static_cast<uint8_t>(random() % 2);
    }
  }
  return bytes;
}

// Scales that are infinite or no numbers, as a damaged file has them, in every third block: rows
// that are read in place, an embedding's, meet the kernels unchecked.
inline void damage_scales(Format format, std::vector<uint8_t>* bytes) {
  const FormatInfo& info = format_info(format);
  constexpr uint16_t kDamaged[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01};
  for (size_t block = 0; block < bytes->size(); block += 3 * info.block_bytes) {
    for (size_t i = 0; i < info.scales; ++i) {
      std::memcpy(bytes->data() + block + info.scale_at + i * 2,
                  &kDamaged[(block / info.block_bytes + i) % 4], 2);
    }
    if (format == Format::kMXFP4) (*bytes)[block] = 0xff;
  }
}

// Q8 panels of float[m][k], by the scalar kernel.
inline std::vector<uint8_t> make_panels(const std::vector<float>& x, size_t m, size_t k) {
  const Kernel* kernel = select_kernel(Op::kQuantizeRow, Format::kF32, 0);
  std::vector<uint8_t> panels(activation_bytes(m, k));
  for (size_t t = 0; t < m; ++t) {
    const size_t first = t / NIBBLE_PANEL * NIBBLE_PANEL;
    const QuantizeArgs args = {.x = x.data() + t * k,
                               .k = k,
                               .panel = panels.data() + activation_bytes(first, k),
                               .mt = std::min<size_t>(NIBBLE_PANEL, m - first),
                               .t = t - first};
    kernel->entry->fn.quantize(&args);
  }
  return panels;
}

}  // namespace nibble
