// Matrix products with float weights (F32, F16, BF16) as they lie in the file, once for every ISA.
//
// One token is bound by memory: four rows at a time give enough independent sums to hide the fma's
// latency. More tokens go in tiles of rows x tokens, so that each load serves several sums. The
// order of one sum does not depend on the tile (abi.h). Read next: abi.h, MatmulArgs.
#pragma once

#include "simd/vec16_inl.h"

namespace nibble {
namespace {

// y for R rows from w and T tokens from x.
template <class V, class W, size_t R, size_t T>
NIBBLE_KERNEL void dot_tile(const W* w, const float* x, size_t k, float* y, size_t y_stride) {
  V sums[R][T];
  unroll<R>([&](auto r) { unroll<T>([&](size_t t) { sums[r][t] = V::splat(0.0f); }); });
  const auto step = [&](auto load, size_t i) {
    V weights[R];
    unroll<R>([&](size_t r) { weights[r] = load(w + r * k + i); });
    unroll<T>([&](auto t) {
      const V xs = load(x + t * k + i);
      unroll<R>([&](size_t r) { sums[r][t] = fma(weights[r], xs, sums[r][t]); });
    });
  };
  size_t i = 0;
  for (; i + NIBBLE_LANES <= k; i += NIBBLE_LANES) {
    step([](const auto* p) { return V::load(p); }, i);
  }
  if (i < k) {
    step([n = k - i](const auto* p) { return V::load_n(p, n); }, i);
  }
  unroll<R>(
      [&](auto r) { unroll<T>([&](size_t t) { y[t * y_stride + r] = reduce_add(sums[r][t]); }); });
}

// All tokens with R rows, T tokens at a time.
template <class V, class W, size_t R, size_t T>
inline void dot_rows(const MatmulArgs* a, size_t row) {
  const W* w = static_cast<const W*>(a->w) + row * a->k;
  const float* x = static_cast<const float*>(a->x);
  size_t t = 0;
  for (; t + T <= a->m; t += T) {
    dot_tile<V, W, R, T>(w, x + t * a->k, a->k, a->y + t * a->y_stride + row, a->y_stride);
  }
  for (; t < a->m; ++t) {
    dot_tile<V, W, R, 1>(w, x + t * a->k, a->k, a->y + t * a->y_stride + row, a->y_stride);
  }
}

template <class V, class W, size_t R, size_t T>
inline void dot_all_rows(const MatmulArgs* a) {
  size_t row = 0;
  for (; row + R <= a->n; row += R) dot_rows<V, W, R, T>(a, row);
  for (; row < a->n; ++row) dot_rows<V, W, 1, T>(a, row);
}

template <class V, class W>
void float_matmul(const MatmulArgs* a) {
  constexpr size_t kSide = V::kTile >= 16 ? 4 : 2;
  a->m == 1 ? dot_all_rows<V, W, 4, 1>(a) : dot_all_rows<V, W, kSide, kSide>(a);
}

template <class V>
constexpr KernelEntry kFloatMatmul[] = {
    {Op::kMatmul,
     Format::kF32,
     Activation::kF32,
     Layout::kRowMajor,
     1,
     {.matmul = float_matmul<V, float>},
     "f32"},
    {Op::kMatmul,
     Format::kF16,
     Activation::kF32,
     Layout::kRowMajor,
     1,
     {.matmul = float_matmul<V, F16>},
     "f16"},
    {Op::kMatmul,
     Format::kBF16,
     Activation::kF32,
     Layout::kRowMajor,
     1,
     {.matmul = float_matmul<V, BF16>},
     "bf16"},
};

}  // namespace
}  // namespace nibble
