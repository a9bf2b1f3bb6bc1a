// Random weights, the same on every machine: rows are numbered and each has its own generator.
// Read next: synth.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "simd/format.h"

namespace nibble::cli {

// Draws from a Gaussian with mean 0 and deviation 1, cut at 3.7, in 4096 steps of equal
// probability: twelve random bits a weight, which is what makes a 1B model a matter of seconds.
class GaussianTable {
 public:
  GaussianTable();
  float operator[](size_t index) const { return values_[index]; }
  static constexpr size_t kSize = 4096;

 private:
  std::array<float, kSize> values_;
};

// Weights of one tensor: mean + deviation * Gaussian. Thread-safe.
class WeightSource {
 public:
  WeightSource(const GaussianTable& gaussian, float mean, float deviation, uint64_t seed);

  // Writes row `row` of k weights in `format` (kF32, kF16, kQ8_0 or kQ4_0) to `out`, row_bytes()
  // long; k a multiple of the format's block.
  void write_row(Format format, uint64_t row, size_t k, uint8_t* out) const;

 private:
  std::array<float, GaussianTable::kSize> values_;
  std::array<uint16_t, GaussianTable::kSize> halves_;  // the same as f16
  uint64_t seed_;
};

}  // namespace nibble::cli
