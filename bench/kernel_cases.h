// What kernels_bench runs: operands for one kernel, made once, and a call of the kernel on them.
//
// Not thread-safe, except that multiply() may be called from several threads for disjoint rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "runtime/machine/memory.h"
#include "simd/registry.h"

namespace nibble {

struct Shape {
  size_t m = 1;  // tokens
  size_t n = 1;  // rows of the weights
  size_t k = 1;  // depth

  bool operator==(const Shape&) const = default;
};

std::string to_string(const Shape& shape);  // "m1/n6912/k1152"

// One matmul kernel on random weights and activations.
class MatmulCase {
 public:
  // Makes the operands, or keeps those it has when nothing changes. The weights are repeated in
  // memory until they fill `cold_bytes`, so that taking one copy after the other finds none in a
  // cache; 0: one copy. Error 71 when memory runs out.
  Result<void> prepare(const Kernel& kernel, Shape shape, size_t cold_bytes);

  size_t copies() const { return copies_; }
  size_t weight_bytes() const { return weight_bytes_; }

  // Rows [begin, end) of the result, from copy `copy` of the weights; begin at a tile border.
  void multiply(size_t copy, size_t begin, size_t end);

  // Whether the first rows are, bit for bit, what the scalar kernel makes of them.
  bool equals_scalar();

 private:
  MatmulArgs args(const void* w, float* y, size_t n) const;

  const Kernel* kernel_ = nullptr;
  Shape shape_;
  size_t cold_bytes_ = 0;
  size_t copies_ = 0;
  size_t weight_bytes_ = 0;
  std::vector<uint8_t> rows_;  // as in a file, the first kCheckedRows
  Buffer weights_;
  std::vector<uint8_t> x_;
  std::vector<float> y_;
};

// One element-wise kernel on one row.
class RowCase {
 public:
  explicit RowCase(const Kernel& kernel);

  bool known() const { return bytes_ != 0; }  // false: not a kernel of rows
  std::string name() const;                   // "rms_norm/avx2/n6912"
  size_t elements() const { return n_; }
  size_t bytes() const { return bytes_; }  // read and written
  void run();

 private:
  const Kernel* kernel_;
  size_t n_;
  size_t bytes_ = 0;
  std::vector<float> x_;
  std::vector<float> weight_;
  std::vector<float> y_;
  std::vector<uint8_t> block_row_;
  std::vector<uint8_t> panel_;
};

}  // namespace nibble
