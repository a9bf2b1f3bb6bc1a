// One tile of 8 rows of a coded format (layout kRows8) against a panel, in 256-bit registers.
//
// As matmul_ymm_inl.h: up to 4 tokens unpack each group of weights and use it at once. For more, a
// block is unpacked once into a buffer for all tokens of the panel, 4 at a time, whose results then
// live in memory. The two halves of a block with a scale each are taken one after the other, so
// that sums, terms and results of 4 tokens are alive and no more. Shared by arch/avx2 and
// arch/avxvnni, which differ in how integer sums are made. Read next: coded_group_inl.h.
#pragma once

#include <immintrin.h>

#include "simd/coded_group_inl.h"
#include "simd/matmul_ymm_inl.h"

namespace nibble {
namespace {

struct Ymm {
  using Reg = __m256i;
  static constexpr size_t kRows = 8;

  static inline Reg load(const uint8_t* p) { return _mm256_loadu_si256((const __m256i*)p); }
  static inline Reg mask(Reg r, int byte) {
    return _mm256_and_si256(r, _mm256_set1_epi8((char)byte));
  }
  static inline Reg add(Reg r, int byte) {
    return _mm256_add_epi8(r, _mm256_set1_epi8((char)byte));
  }
  static inline Reg merge(Reg r, Reg other, int byte) {
    return _mm256_or_si256(r, mask(other, byte));
  }
  static inline Reg lookup(Reg r, const int8_t* table, int bias) {
    const __m128i values = _mm_loadu_si128((const __m128i*)table);
    const __m128i biased = _mm_add_epi8(values, _mm_set1_epi8((char)bias));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(biased), r);
  }
  template <int N>
  static inline Reg left(Reg r) {
    return _mm256_slli_epi32(r, N);
  }
  template <int N>
  static inline Reg right(Reg r) {
    return _mm256_srli_epi32(r, N);
  }
};

static inline __m256 floats8(__m128i int8s) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(int8s));
}

// -bias * sum in every lane, of the panel's -of * sum; 0 for bias 0.
template <int Bias, int Of>
static inline __m256i start_of(const uint8_t* sums) {
  if constexpr (Bias == 0) {
    return _mm256_setzero_si256();
  } else {
    constexpr int kShift = bias_shift(Bias, Of);
    const __m256i sum = _mm256_set1_epi32(load_i32(sums));
    if constexpr (kShift >= 0) {
      return _mm256_slli_epi32(sum, kShift);
    } else {
      return _mm256_srai_epi32(sum, -kShift);
    }
  }
}

// Where a Dot finds value(code) + Bias of columns 4G .. 4G + 3: packed codes, or bytes unpacked
// before.
template <Format F, int Bias>
struct PackedCodes {
  const uint8_t* planes;
  template <int G>
  NIBBLE_INLINE __m256i group() const {
    return coded_values<F, Ymm, G, Bias>(planes);
  }
};
struct UnpackedBlock {
  alignas(32) uint8_t bytes[8 * NIBBLE_BLOCK];
  template <int G>
  NIBBLE_INLINE __m256i group() const {
    return _mm256_load_si256((const __m256i*)bytes + G);
  }
};

// Dot: what value(code) is stored with, and the sums of groups [G, End) of T tokens:
//   template <Format F> static constexpr int bias();
//   template <Format F, int G, int End, int T> add(weights, x, sum)    sum[t] += products
template <Format F, class Dot>
struct CodedYmmTile {
  static constexpr CodedForm kForm = coded_form(F);
  static constexpr size_t kRows = 8;
  static constexpr size_t kBlocks = (size_t)kForm.span / NIBBLE_BLOCK;
  static constexpr size_t kSpanBytes = coded_span_bytes(kForm);
  static constexpr int kTokens = NIBBLE_PANEL;
  static constexpr int kBias = Dot::template bias<F>();

  // Exact factors of a block's 8 rows. Minima are divided by what the panel's sums are times.
  struct Factors {
    __m256 scale[2];
    __m256 minimum[2];
  };

  // Of the f16 scale and minimum at the head of a span.
  static inline Factors head(const uint8_t* w) {
    Factors f;
    const __m128i d = _mm_loadu_si128((const __m128i*)w);
    if constexpr (kForm.bf16) {
      f.scale[0] = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(d), 16));
    } else {
      f.scale[0] = _mm256_mul_ps(_mm256_cvtph_ps(d), _mm256_set1_ps(kForm.factor));
    }
    if constexpr (kForm.minimum) {
      const float share = kForm.min_sign / (kForm.split ? 64.0f : 8.0f);
      const __m256 dmin = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)w + 1));
      f.minimum[0] = _mm256_mul_ps(dmin, _mm256_set1_ps(share));
    }
    return f;
  }

  // Of one block; `w` is at its integer scales.
  static inline Factors block(const Factors& head, const uint8_t* w) {
    Factors f = head;
    if constexpr (kForm.span == 32) return f;
    const __m128i first = _mm_loadl_epi64((const __m128i*)w);
    const __m128i second =
        _mm_loadl_epi64((const __m128i*)(w + (coded_scale_bytes(kForm) - 1) * 8));
    if constexpr (kForm.split && kForm.minimum) {
      const __m128i low = _mm_set1_epi8(15);
      f.scale[0] = _mm256_mul_ps(head.scale[0], floats8(_mm_and_si128(first, low)));
      f.scale[1] = _mm256_mul_ps(head.scale[0], floats8(_mm_and_si128(second, low)));
      const __m128i min0 = _mm_and_si128(_mm_srli_epi16(first, 4), low);
      const __m128i min1 = _mm_and_si128(_mm_srli_epi16(second, 4), low);
      f.minimum[0] = _mm256_mul_ps(head.minimum[0], floats8(min0));
      f.minimum[1] = _mm256_mul_ps(head.minimum[0], floats8(min1));
    } else {
      f.scale[0] = _mm256_mul_ps(head.scale[0], floats8(first));
      if constexpr (kForm.split) f.scale[1] = _mm256_mul_ps(head.scale[0], floats8(second));
      if constexpr (kForm.minimum) f.minimum[0] = _mm256_mul_ps(head.minimum[0], floats8(second));
    }
    return f;
  }

  // Where a panel block has the tokens wanted.
  struct Panel {
    const uint8_t* d;
    const uint8_t* neg8;
    const uint8_t* x;
    const uint8_t* neg64[2];
  };

  static inline __m256 float_in_all(const uint8_t* int32) {
    return _mm256_cvtepi32_ps(_mm256_set1_epi32(load_i32(int32)));
  }

  // acc += what a block adds for T tokens.
  template <int T, class Weights>
  static NIBBLE_INLINE void tokens(const Weights& weights, const Factors& f, const Panel& p,
                                   __m256* acc) {
    __m256i sum[T];
    __m256 term[T];
    if constexpr (kForm.split) {
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) sum[t] = start_of<kBias, 64>(p.neg64[1] + 4 * t);
      Dot::template add<F, 4, 8>(weights, p.x, sum);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        term[t] = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[t]), f.scale[1]);
        sum[t] = start_of<kBias, 64>(p.neg64[0] + 4 * t);
      }
      Dot::template add<F, 0, 4>(weights, p.x, sum);
    } else {
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) sum[t] = start_of<kBias, 8>(p.neg8 + 4 * t);
      Dot::template add<F, 0, 8>(weights, p.x, sum);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        if constexpr (kForm.minimum) {
          term[t] = _mm256_mul_ps(float_in_all(p.neg8 + 4 * t), f.minimum[0]);
        }
      }
    }
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      const __m256 d = _mm256_set1_ps(load_f32(p.d + 4 * t));
      const __m256 first = _mm256_cvtepi32_ps(sum[t]);
      if constexpr (!kForm.split && !kForm.minimum) {
        acc[t] = _mm256_fmadd_ps(first, _mm256_mul_ps(f.scale[0], d), acc[t]);
      } else {
        term[t] = _mm256_fmadd_ps(first, f.scale[0], term[t]);
        if constexpr (kForm.split && kForm.minimum) {
          term[t] = _mm256_fmadd_ps(float_in_all(p.neg64[0] + 4 * t), f.minimum[0], term[t]);
          term[t] = _mm256_fmadd_ps(float_in_all(p.neg64[1] + 4 * t), f.minimum[1], term[t]);
        }
        acc[t] = _mm256_fmadd_ps(term[t], d, acc[t]);
      }
    }
  }

  // All tokens of a block, at most 4 at once.
  static inline void panel_block(const UnpackedBlock& weights, const Factors& f, Panel p, size_t mt,
                                 __m256* acc) {
    for (; mt >= 4; mt -= 4, acc += 4) {
      tokens<4>(weights, f, p, acc);
      p = {p.d + 16, p.neg8 + 16, p.x + 4 * NIBBLE_BLOCK, {p.neg64[0] + 16, p.neg64[1] + 16}};
    }
    if (mt == 3) tokens<3>(weights, f, p, acc);
    if (mt == 2) tokens<2>(weights, f, p, acc);
    if (mt == 1) tokens<1>(weights, f, p, acc);
  }

  static NIBBLE_INLINE void unpack(const uint8_t* planes, UnpackedBlock* block) {
    const PackedCodes<F, kBias> codes = {planes};
    __m256i* to = (__m256i*)block->bytes;
    _mm256_store_si256(to + 0, codes.template group<0>());
    _mm256_store_si256(to + 1, codes.template group<1>());
    _mm256_store_si256(to + 2, codes.template group<2>());
    _mm256_store_si256(to + 3, codes.template group<3>());
    _mm256_store_si256(to + 4, codes.template group<4>());
    _mm256_store_si256(to + 5, codes.template group<5>());
    _mm256_store_si256(to + 6, codes.template group<6>());
    _mm256_store_si256(to + 7, codes.template group<7>());
  }

  // T <= 4: that many tokens. Else the whole panel, whatever its size: one function for all.
  template <int T>
  static inline void run(const TileJob* job) {
    run_tokens<(T < 5 ? T : 5)>(job);
  }

  template <int T>
  static inline void run_tokens(const TileJob* job) {
    constexpr size_t kBlockBytes = kRows * coded_block_bytes(kForm);
    constexpr bool kBuffer = T > 4;
    constexpr int kSums = kBuffer ? NIBBLE_PANEL : T;
    const size_t mt = job->mt, step = mt * NIBBLE_PANEL_BLOCK_BYTES;
    const uint8_t* w = job->w;
    const uint8_t* halves = job->x + (8 + NIBBLE_BLOCK) * mt + 4 * job->t;
    Panel p = {job->x + 4 * job->t,
               job->x + 4 * (mt + job->t),
               job->x + 8 * mt + NIBBLE_BLOCK * job->t,
               {halves, halves + 4 * mt}};
    __m256 acc[kSums];
#pragma GCC unroll 4
    for (int t = 0; t < kSums; ++t) acc[t] = _mm256_setzero_ps();

    for (size_t span = 0; span < job->blocks; span += kBlocks) {
      const Factors of_span = head(w);
      w += kRows * coded_head_bytes(kForm);
      for (size_t b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 8
        for (size_t i = 0; i < kBlockBytes; i += 64) {
          _mm_prefetch((const char*)w + NIBBLE_PREFETCH_BYTES + i, _MM_HINT_T1);
        }
        const uint8_t* planes = w + kRows * coded_scale_bytes(kForm);
        if constexpr (kBuffer) {
          UnpackedBlock unpacked;
          unpack(planes, &unpacked);
          panel_block(unpacked, block(of_span, w), p, mt, acc);
        } else {
          tokens<T>(PackedCodes<F, kBias>{planes}, block(of_span, w), p, acc);
        }
        w += kBlockBytes;
        p = {p.d + step, p.neg8 + step, p.x + step, {p.neg64[0] + step, p.neg64[1] + step}};
      }
    }

    const __m256i mask = row_mask(job->rows);
    const size_t tokens_done = kBuffer ? mt : T;
#pragma GCC unroll 4
    for (size_t t = 0; t < tokens_done; ++t) {
      _mm256_maskstore_ps(job->y + t * job->y_stride, mask, acc[t]);
    }
  }
};

}  // namespace
}  // namespace nibble
