// The divisors of the rotations' frequencies in Llama 3.x ("rope_freqs").
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace nibble::cli {

struct Llama3Rope {
  double base = 500000;
  double factor = 8;
  double low = 1, high = 4;  // turns in the original context between which it blends
  double original_context = 8192;
};

// One for each pair of dimensions: 1 for wavelengths well inside the original context, `factor` for
// those that leave it, a blend between.
inline std::vector<float> llama3_rope_divisors(const Llama3Rope& rope, uint64_t dimensions) {
  constexpr double kPi = 3.14159265358979323846;
  std::vector<float> divisors;
  for (uint64_t i = 0; i < dimensions / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(dimensions);
    const double wavelength = 2 * kPi * std::pow(rope.base, exponent);
    const double turns = rope.original_context / wavelength;
    const double blend = std::clamp((turns - rope.low) / (rope.high - rope.low), 0.0, 1.0);
    divisors.push_back(static_cast<float>(1 / ((1 - blend) / rope.factor + blend)));
  }
  return divisors;
}

}  // namespace nibble::cli
