// One tile of 16 rows of a coded format (layout kRows16) against T tokens, by 512-bit vpdpbusd.
//
// As matmul_zmm_inl.h; what differs is how codes become bytes (once a block for all tokens) and how
// scales join the integer sums: for a block and token 8 vpdpbusd, then 3 instructions for one
// scale, 5 for a scale and a minimum, 5 for two halves. Read next: coded_group_inl.h.
#pragma once

#include <immintrin.h>

#include "simd/coded_group_inl.h"
#include "simd/matmul_zmm_inl.h"

namespace nibble {
namespace {

struct Zmm {
  using Reg = __m512i;
  static constexpr size_t kRows = 16;

  // Kept in a register: or GCC loads a plane again for each use, and loads are what limits.
  static inline Reg load(const uint8_t* p) {
    Reg r = _mm512_loadu_si512(p);
    __asm__("" : "+v"(r));
    return r;
  }
  static inline Reg mask(Reg r, int byte) {
    return _mm512_and_si512(r, _mm512_set1_epi8((char)byte));
  }
  static inline Reg add(Reg r, int byte) {
    return _mm512_add_epi8(r, _mm512_set1_epi8((char)byte));
  }
  static inline Reg merge(Reg r, Reg other, int byte) {
    return _mm512_ternarylogic_epi32(r, other, _mm512_set1_epi8((char)byte), 0xf8);
  }
  static inline Reg lookup(Reg r, const int8_t* table, int bias) {
    const __m128i values = _mm_loadu_si128((const __m128i*)table);
    const __m128i biased = _mm_add_epi8(values, _mm_set1_epi8((char)bias));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(biased), r);
  }
  template <int N>
  static inline Reg left(Reg r) {
    return _mm512_slli_epi32(r, N);
  }
  template <int N>
  static inline Reg right(Reg r) {
    return _mm512_srli_epi32(r, N);
  }
};

static inline __m512 floats16(__m128i int8s) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(int8s));
}

static inline __m512 float_in_all(const uint8_t* int32) {
  return _mm512_cvtepi32_ps(_mm512_set1_epi32(load_i32(int32)));
}

template <Format F>
struct CodedZmmTile {
  static constexpr CodedForm kForm = coded_form(F);
  static constexpr size_t kRows = 16;
  static constexpr size_t kBlocks = (size_t)kForm.span / NIBBLE_BLOCK;
  static constexpr size_t kSpanBytes = coded_span_bytes(kForm);
  static constexpr int kTokens = NIBBLE_PANEL;
  // Two sums a token: half as many tokens have as many chains.
  static constexpr int kAtOnce = kForm.split ? NIBBLE_CHAINS / 2 : NIBBLE_CHAINS;
  static constexpr int kBias = vnni_bias(kForm);

  // Exact factors of a block's 16 rows. Minima are divided by what the panel's sums are times.
  struct Factors {
    __m512 scale[2];
    __m512 minimum[2];
  };

  // Of the f16 scale and minimum at the head of a span.
  static inline Factors head(const uint8_t* w) {
    Factors f;
    const __m256i d = _mm256_loadu_si256((const __m256i*)w);
    if constexpr (kForm.bf16) {
      f.scale[0] = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(d), 16));
    } else {
      f.scale[0] = _mm512_mul_ps(_mm512_cvtph_ps(d), _mm512_set1_ps(kForm.factor));
    }
    if constexpr (kForm.minimum) {
      const float share = kForm.min_sign / (kForm.split ? 64.0f : 8.0f);
      const __m512 dmin = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)w + 1));
      f.minimum[0] = _mm512_mul_ps(dmin, _mm512_set1_ps(share));
    }
    return f;
  }

  // Of one block; `w` is at its integer scales.
  static inline Factors block(const Factors& head, const uint8_t* w) {
    Factors f = head;
    if constexpr (kForm.span == 32) return f;
    const __m128i first = _mm_loadu_si128((const __m128i*)w);
    const __m128i second = _mm_loadu_si128((const __m128i*)w + (coded_scale_bytes(kForm) > 1));
    if constexpr (kForm.split && kForm.minimum) {
      const __m128i low = _mm_set1_epi8(15);
      f.scale[0] = _mm512_mul_ps(head.scale[0], floats16(_mm_and_si128(first, low)));
      f.scale[1] = _mm512_mul_ps(head.scale[0], floats16(_mm_and_si128(second, low)));
      const __m128i min0 = _mm_and_si128(_mm_srli_epi16(first, 4), low);
      const __m128i min1 = _mm_and_si128(_mm_srli_epi16(second, 4), low);
      f.minimum[0] = _mm512_mul_ps(head.minimum[0], floats16(min0));
      f.minimum[1] = _mm512_mul_ps(head.minimum[0], floats16(min1));
    } else {
      f.scale[0] = _mm512_mul_ps(head.scale[0], floats16(first));
      if constexpr (kForm.split) f.scale[1] = _mm512_mul_ps(head.scale[0], floats16(second));
      if constexpr (kForm.minimum) f.minimum[0] = _mm512_mul_ps(head.minimum[0], floats16(second));
    }
    return f;
  }

  static NIBBLE_INLINE void unpack(const uint8_t* planes, __m512i (&q)[8]) {
    q[0] = coded_values<F, Zmm, 0, kBias>(planes);
    q[1] = coded_values<F, Zmm, 1, kBias>(planes);
    q[2] = coded_values<F, Zmm, 2, kBias>(planes);
    q[3] = coded_values<F, Zmm, 3, kBias>(planes);
    q[4] = coded_values<F, Zmm, 4, kBias>(planes);
    q[5] = coded_values<F, Zmm, 5, kBias>(planes);
    q[6] = coded_values<F, Zmm, 6, kBias>(planes);
    q[7] = coded_values<F, Zmm, 7, kBias>(planes);
  }

  // One panel block, from the first token wanted.
  struct Panel {
    const uint8_t* d;
    const uint8_t* neg8;
    const uint8_t* x;
    const uint8_t* neg64[2];
  };
  static inline Panel panel_from(const uint8_t* block, int mt, int t) {
    const uint8_t* x = block + 8 * mt;
    const uint8_t* halves = x + NIBBLE_BLOCK * mt;
    return {block + 4 * t,
            block + 4 * (mt + t),
            x + NIBBLE_BLOCK * t,
            {halves + 4 * t, halves + 4 * (mt + t)}};
  }

  // What a block adds for N tokens.
  template <int N>
  static NIBBLE_INLINE void tokens(const __m512i (&q)[8], const Factors& f, const Panel& p,
                                   __m512* acc) {
    constexpr int kHalves = kForm.split ? 2 : 1;
    constexpr int kGroups = 8 / kHalves;
    __m512i sum[kHalves][N];
#pragma GCC unroll 16
    for (int t = 0; t < N; ++t) {
      sum[0][t] = _mm512_setzero_si512();
      if constexpr (kForm.split) sum[1][t] = _mm512_setzero_si512();
      if constexpr (kForm.split && kBias != 0) {
        sum[0][t] = _mm512_set1_epi32(load_i32(p.neg64[0] + 4 * t));
        sum[1][t] = _mm512_set1_epi32(load_i32(p.neg64[1] + 4 * t));
      } else if constexpr (kBias != 0) {
        const __m512i neg8 = _mm512_set1_epi32(load_i32(p.neg8 + 4 * t));
        sum[0][t] = _mm512_slli_epi32(neg8, (unsigned)bias_shift(kBias, 8));
      }
    }
#pragma GCC unroll 16
    for (int g = 0; g < kGroups; ++g) {
#pragma GCC unroll 2
      for (int h = 0; h < kHalves; ++h) {
#pragma GCC unroll 16
        for (int t = 0; t < N; ++t) {
          const uint8_t* x = p.x + NIBBLE_BLOCK * t + 4 * (g + kGroups * h);
          sum[h][t] = dot4(sum[h][t], q[g + kGroups * h], x);
        }
      }
    }
#pragma GCC unroll 16
    for (int t = 0; t < N; ++t) {
      const __m512 d = _mm512_set1_ps(load_f32(p.d + 4 * t));
      const __m512 first = _mm512_cvtepi32_ps(sum[0][t]);
      if constexpr (!kForm.split && !kForm.minimum) {
        acc[t] = _mm512_fmadd_ps(first, _mm512_mul_ps(f.scale[0], d), acc[t]);
      } else {
        __m512 rest;
        if constexpr (kForm.split) {
          rest = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[1][t]), f.scale[1]);
        } else {
          rest = _mm512_mul_ps(float_in_all(p.neg8 + 4 * t), f.minimum[0]);
        }
        __m512 term = _mm512_fmadd_ps(first, f.scale[0], rest);
        if constexpr (kForm.split && kForm.minimum) {
          term = _mm512_fmadd_ps(float_in_all(p.neg64[0] + 4 * t), f.minimum[0], term);
          term = _mm512_fmadd_ps(float_in_all(p.neg64[1] + 4 * t), f.minimum[1], term);
        }
        acc[t] = _mm512_fmadd_ps(term, d, acc[t]);
      }
    }
  }

  template <int T>
  static inline void run(const TileJob* job) {
    constexpr int kWhole = T / kAtOnce * kAtOnce;
    constexpr size_t kBlockBytes = kRows * coded_block_bytes(kForm);
    const uint8_t* w = job->w;
    const uint8_t* x = job->x;
    __m512 acc[T];
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t) acc[t] = _mm512_setzero_ps();

    for (size_t span = 0; span < job->blocks; span += kBlocks) {
      const Factors of_span = head(w);
      w += kRows * coded_head_bytes(kForm);
      for (size_t b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 16
        for (size_t i = 0; i < kBlockBytes; i += 64) {
          _mm_prefetch((const char*)w + NIBBLE_PREFETCH_BYTES + i, _MM_HINT_T1);
        }
        const Factors f = block(of_span, w);
        __m512i q[8];
        unpack(w + kRows * coded_scale_bytes(kForm), q);
#pragma GCC unroll 16
        for (int t = 0; t < kWhole; t += kAtOnce) {
          tokens<kAtOnce>(q, f, panel_from(x, T, t), acc + t);
        }
        if constexpr (kWhole < T) {
          tokens<T - kWhole>(q, f, panel_from(x, T, kWhole), acc + kWhole);
        }
        w += kBlockBytes;
        x += T * NIBBLE_PANEL_BLOCK_BYTES;
      }
    }

    const __mmask16 mask = (__mmask16)((1u << job->rows) - 1);
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t) _mm512_mask_storeu_ps(job->y + t * job->y_stride, mask, acc[t]);
  }
};

}  // namespace
}  // namespace nibble
