// Random operands of ordinary size, the same in every run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "simd/abi.h"

namespace nibble {

struct Shape {
  size_t m = 1;  // tokens
  size_t n = 1;  // rows of the weights
  size_t k = 1;  // depth

  bool operator==(const Shape&) const = default;
};

// Bytes of n rows of depth k in their file format.
std::vector<uint8_t> random_rows(Format format, size_t n, size_t k);

// From -1 to 1.
std::vector<float> random_floats(size_t count);

// m tokens of depth k in the form that a kernel takes.
std::vector<uint8_t> random_activations(Activation form, size_t m, size_t k);

}  // namespace nibble
