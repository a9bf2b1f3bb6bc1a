// One tile of 16 rows (layout kRows16Biased) against T tokens, by the 512-bit vpdpbusd.
//
// Lanes are rows, so nothing is summed across a register: vpdpbusd multiplies 16 rows x 4 columns
// of weights (unsigned) by 4 activations that are broadcast from memory. A block takes, per token,
// 8 vpdpbusd + convert + multiply + FMA for 512 multiply-accumulates, all on the two 512-bit ports:
// 8 of 11 slots are useful work, less the unpacking of the weights, done once per block for all
// tokens. 8 registers of weights + 16 sums + 4 integer sums leave a few of 32 free.
#pragma once

#include <immintrin.h>

#include "simd/matmul_tiles_inl.h"

namespace nibble {

// sum + dot of each lane's 4 bytes with the 4 activations at p. Neither compiler is left to choose:
// GCC 12 does not fold the broadcast into vpdpbusd (20 instructions and registers per token and
// block instead of 12, a quarter of the speed), clang 14 moves the intrinsic about until registers
// spill.
static inline __attribute__((always_inline)) __m512i dot4(__m512i sum, __m512i weights,
                                                          const uint8_t* p) {
  typedef int32_t __attribute__((may_alias, aligned(1))) Word;
  __asm__("vpdpbusd\t%2%{1to16%}, %1, %0" : "+v"(sum) : "v"(weights), "m"(*(const Word*)p));
  return sum;
}

// Tokens whose chains of vpdpbusd (latency 5) are interleaved. Measured: clang 14 spills at 4.
#if defined(__clang__)
#define NIBBLE_CHAINS 2
#else
#define NIBBLE_CHAINS 4
#endif

// Weights: kBlockBytes of one row's block; unpack(groups of 16 x 4 bytes, q[8]) gives the unsigned
// bytes of columns 4g..4g+3 in q[g]; start(neg8) the sum's start that takes off their offset.
template <typename Weights>
struct ZmmTile {
  static constexpr size_t kRows = 16;
  static constexpr size_t kBlockBytes = Weights::kBlockBytes;
  static constexpr size_t kBlocks = 1, kSpanBytes = kBlockBytes;
  static constexpr int kTokens = NIBBLE_PANEL;
  static constexpr size_t kTileBlockBytes = kRows * kBlockBytes;

  // N tokens at a time.
  template <int N>
  static NIBBLE_INLINE void tokens(const __m512i (&q)[8], __m512 scale, const uint8_t* d,
                                   const uint8_t* neg8, const uint8_t* x, __m512* acc) {
    __m512i sum[N];
#pragma GCC unroll 16
    for (int t = 0; t < N; ++t) sum[t] = Weights::start(load_i32(neg8 + 4 * t));
#pragma GCC unroll 16
    for (int g = 0; g < 8; ++g) {
#pragma GCC unroll 16
      for (int t = 0; t < N; ++t) sum[t] = dot4(sum[t], q[g], x + NIBBLE_BLOCK * t + 4 * g);
    }
#pragma GCC unroll 16
    for (int t = 0; t < N; ++t) {
      const __m512 scales = _mm512_mul_ps(scale, _mm512_set1_ps(load_f32(d + 4 * t)));
      acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), scales, acc[t]);
    }
  }

  template <int T>
  static inline void run(const TileJob* job) {
    constexpr int kWhole = T / NIBBLE_CHAINS * NIBBLE_CHAINS;
    const uint8_t* w = job->w;
    const uint8_t* d = job->x;
    __m512 acc[T];
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t) acc[t] = _mm512_setzero_ps();

    for (size_t b = 0; b < job->blocks; ++b) {
#pragma GCC unroll 16
      for (size_t i = 0; i < kTileBlockBytes; i += 64) {
        _mm_prefetch((const char*)w + NIBBLE_PREFETCH_BYTES + i, _MM_HINT_T1);
      }
      const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)w));
      __m512i q[8];
      Weights::unpack(w + 2 * kRows, q);
      const uint8_t* neg8 = d + 4 * T;
      const uint8_t* x = d + 8 * T;
#pragma GCC unroll 16
      for (int t = 0; t < kWhole; t += NIBBLE_CHAINS) {
        tokens<NIBBLE_CHAINS>(q, scale, d + 4 * t, neg8 + 4 * t, x + NIBBLE_BLOCK * t, acc + t);
      }
      if constexpr (kWhole < T) {
        tokens<T - kWhole>(q, scale, d + 4 * kWhole, neg8 + 4 * kWhole, x + NIBBLE_BLOCK * kWhole,
                           acc + kWhole);
      }
      w += kTileBlockBytes;
      d += T * NIBBLE_PANEL_BLOCK_BYTES;
    }

    const __mmask16 mask = (__mmask16)((1u << job->rows) - 1);
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t) _mm512_mask_storeu_ps(job->y + t * job->y_stride, mask, acc[t]);
  }
};

}  // namespace nibble
