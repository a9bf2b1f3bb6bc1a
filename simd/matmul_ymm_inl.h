// One tile of 8 rows (layouts kRows8, kRows8Biased) against up to 4 tokens, in 256-bit registers.
//
// Lanes are rows, so nothing is summed across a register; 4 activations at a time are broadcast
// from memory, which costs a load and no arithmetic slot. With 16 registers there is no room for a
// block's weights: each group of them is loaded once per 4 tokens and used at once, so that 4
// integer and 4 float sums, the weights and a broadcast are all that is alive.
//
// Shared by arch/avx2 and arch/avxvnni, which differ in how a block's integer sums are made.
#pragma once

#include <immintrin.h>

#include "simd/matmul_tiles_inl.h"

namespace nibble {

// Fixes `value` at this point. Compilers else reorder a block's additions into trees, with more
// products alive than there are registers: 60 spills and a fifth of the speed in GCC 12.
static inline void keep(__m256i& value) {
  __asm__("" : "+x"(value));
}

// Four int8 activations in every lane.
static inline __m256i broadcast4(const uint8_t* p) {
  return _mm256_set1_epi32(load_i32(p));
}

// Lane i is all ones for i < rows.
static inline __m256i row_mask(size_t rows) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)rows), lanes);
}

// Sums: kBlockBytes of one row's block, and
//   template <int T> block_sums(groups of 8 x 4 bytes, x, neg8, sum)
// which sets sum[t], t < T, to the exact integer dot products of 8 rows' blocks with the 32 bytes
// at x + 32 t; neg8 points to the tokens' -8 * sum(q).
template <typename Sums>
struct YmmTile {
  static constexpr size_t kRows = 8;
  static constexpr size_t kBlockBytes = Sums::kBlockBytes;
  static constexpr size_t kBlocks = 1, kSpanBytes = kBlockBytes;
  static constexpr int kTokens = 4;
  static constexpr size_t kTileBlockBytes = kRows * kBlockBytes;

  template <int T>
  static inline void run(const TileJob* job) {
    const uint8_t* w = job->w;
    const uint8_t* d = job->x + 4 * job->t;
    const uint8_t* neg8 = job->x + 4 * (job->mt + job->t);
    const uint8_t* x = job->x + 8 * job->mt + NIBBLE_BLOCK * job->t;
    const size_t step = job->mt * NIBBLE_PANEL_BLOCK_BYTES;
    __m256 acc[T];
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) acc[t] = _mm256_setzero_ps();

    for (size_t b = 0; b < job->blocks; ++b) {
#pragma GCC unroll 8
      for (size_t i = 0; i < kTileBlockBytes; i += 64) {
        _mm_prefetch((const char*)w + NIBBLE_PREFETCH_BYTES + i, _MM_HINT_T1);
      }
      __m256i sum[T];
      Sums::template block_sums<T>(w + 2 * kRows, x, neg8, sum);
      const __m256 scale = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)w));
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        const __m256 scales = _mm256_mul_ps(scale, _mm256_set1_ps(load_f32(d + 4 * t)));
        acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[t]), scales, acc[t]);
      }
      w += kTileBlockBytes;
      d += step;
      neg8 += step;
      x += step;
    }

    const __m256i mask = row_mask(job->rows);
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) _mm256_maskstore_ps(job->y + t * job->y_stride, mask, acc[t]);
  }
};

}  // namespace nibble
