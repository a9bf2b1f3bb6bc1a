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
  using P = typename V::Part;
  V sums[R][T];
  unroll<R>([&](auto r) { unroll<T>([&](size_t t) { sums[r][t] = V::splat(0.0f); }); });
  // Part by part of a vector: then one part's operands are alive beside the sums, and no more.
  const auto step = [&](const W* ws, const float* xs, size_t stride) {
    for_parts<P>([&](auto part) {
      const size_t at = part * P::kLanes;
      typename P::Float weights[R];
      unroll<R>([&](size_t r) { weights[r] = P::load(ws + r * stride + at); });
      unroll<T>([&](auto t) {
        const auto activations = P::load_once(xs + t * stride + at);
        unroll<R>([&](size_t r) {
          sums[r][t].part[part] = P::fma(weights[r], activations, sums[r][t].part[part]);
        });
      });
    });
  };
  size_t i = 0;
  for (; i + NIBBLE_LANES <= k; i += NIBBLE_LANES) {
    // The next rows: the hardware stops at pages, and halves pass too slowly for it
    // (docs/decisions/0006).
    if constexpr (T == 1 && sizeof(W) == 2 && V::kParts <= 2) {
      unroll<R>([&](size_t r) { __builtin_prefetch(w + (R + r) * k + i, 0, 2); });
    }
    step(w + i, x + i, k);
  }
  if (i < k) {
    W ws[R * NIBBLE_LANES] = {};
    float xs[T * NIBBLE_LANES] = {};
    for (size_t r = 0; r < R; ++r)
      memcpy(ws + r * NIBBLE_LANES, w + r * k + i, (k - i) * sizeof(W));
    for (size_t t = 0; t < T; ++t) {
      memcpy(xs + t * NIBBLE_LANES, x + t * k + i, (k - i) * sizeof(float));
    }
    step(ws, xs, NIBBLE_LANES);
  }
  unroll<R>(
      [&](auto r) { unroll<T>([&](size_t t) { y[t * y_stride + r] = reduce_add(sums[r][t]); }); });
}

// Tokens [t, last) with R rows: T at a time, then 2, then 1.
template <class V, class W, size_t R, size_t T>
inline void dot_tokens(const MatmulArgs* a, size_t row, size_t t, size_t last) {
  const W* w = static_cast<const W*>(a->w) + row * a->k;
  const float* x = static_cast<const float*>(a->x);
  for (; t + T <= last; t += T) {
    dot_tile<V, W, R, T>(w, x + t * a->k, a->k, a->y + t * a->y_stride + row, a->y_stride);
  }
  if constexpr (T > 1) dot_tokens<V, W, R, (T > 2 ? 2 : 1)>(a, row, t, last);
}

// R rows at a time, as many as half of a small L2 holds, with T tokens, which stay in L1.
template <class V, class W, size_t R, size_t T>
inline void dot_blocks(const MatmulArgs* a) {
  constexpr size_t kRowsBytes = 128 * 1024;
  const size_t group = R + kRowsBytes / (a->k * sizeof(W)) / R * R;
  for (size_t first = 0; first < a->n; first += group) {
    const size_t rows = a->n - first < group ? a->n - first : group;
    for (size_t t = 0; t < a->m; t += T) {
      const size_t last = a->m - t < T ? a->m : t + T;
      size_t row = 0;
      for (; row + R <= rows; row += R) dot_tokens<V, W, R, T>(a, first + row, t, last);
      for (; row < rows; ++row) dot_tokens<V, W, 1, (T > 2 ? 2 : T)>(a, first + row, t, last);
    }
  }
}

template <class V, class W>
void float_matmul(const MatmulArgs* a) {
  // 24 sums, 4 weights and an activation in 32 registers. In AVX2's 16: halves of 6 sums, 2 and 1.
  // NEON's quarters of 6 would fit its 32, but GCC keeps some of them in memory.
  constexpr bool kMany = V::kTile >= 16;
  constexpr size_t kRows = kMany ? 4 : 2, kTokens = kMany ? 6 : V::kParts == 2 ? 3 : 2;
  a->m == 1 ? dot_blocks<V, W, 4, 1>(a) : dot_blocks<V, W, kRows, kTokens>(a);
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
