// Every block format by SVE's sdot, on vectors of any length (layout kRows16).
//
// A vector holds 4 columns of as many of the tile's 16 rows as fit: 4 of 128 bits, all 16 of 512.
// An index of sdot counts within 128 bits, so activations are loaded into each of those alike
// (ld1rqb), and no instruction depends on the length. SVE's types have no size, so they cannot be
// members or stand in arrays: hence a variable for each token, up to 4, and what else would be a
// loop. Made for the A64FX, which has no other int8 dot product. Read next: simd/layout.h.
#include <arm_sve.h>

#include "simd/coded_group_inl.h"
#include "simd/matmul_tiles_inl.h"
#include "simd/vec16_inl.h"

namespace nibble {
namespace {

// Rows of a tile in one vector: a power of two, so that they make 16.
NIBBLE_INLINE uint64_t rows_at_once() {
  const uint64_t lanes = svcntw();
  return lanes >= 16 ? 16 : lanes >= 8 ? 8 : 4;
}
NIBBLE_INLINE svbool_t lanes32() {
  return svwhilelt_b32_u64(0, rows_at_once());
}
NIBBLE_INLINE svbool_t lanes8() {
  return svwhilelt_b8_u64(0, 4 * rows_at_once());
}

// rows_at_once() x 4 bytes, of planes that are 16 rows wide.
struct SveBytes {
  using Reg = svuint8_t;
  static constexpr size_t kRows = 16;

  static NIBBLE_INLINE Reg load(const uint8_t* p) { return svld1_u8(lanes8(), p); }
  static NIBBLE_INLINE Reg mask(Reg r, int byte) {
    return svand_n_u8_x(svptrue_b8(), r, (uint8_t)byte);
  }
  static NIBBLE_INLINE Reg add(Reg r, int byte) {
    return svadd_n_u8_x(svptrue_b8(), r, (uint8_t)byte);
  }
  static NIBBLE_INLINE Reg merge(Reg r, Reg other, int byte) {
    return svorr_u8_x(svptrue_b8(), r, mask(other, byte));
  }
  static NIBBLE_INLINE Reg lookup(Reg r, const int8_t* table, int bias) {
    return svtbl_u8(add(svld1rq_u8(svptrue_b8(), (const uint8_t*)table), bias), r);
  }
  template <int N>
  static NIBBLE_INLINE Reg left(Reg r) {
    return svreinterpret_u8_u32(svlsl_n_u32_x(svptrue_b32(), svreinterpret_u32_u8(r), N));
  }
  template <int N>
  static NIBBLE_INLINE Reg right(Reg r) {
    return svreinterpret_u8_u32(svlsr_n_u32_x(svptrue_b32(), svreinterpret_u32_u8(r), N));
  }
};

// The values of columns 4G .. 4G + 3.
template <Format F, int G>
NIBBLE_INLINE svint8_t values(const uint8_t* planes) {
  if constexpr (F == Format::kQ8_0) {
    return svreinterpret_s8_u8(SveBytes::load(planes + 64 * G));
  } else if constexpr (F == Format::kQ4_0) {
    const svuint8_t bytes = SveBytes::load(planes + G % 4 * 64);
    const svuint8_t nibbles =
        G < 4 ? SveBytes::mask(bytes, 15) : svlsr_n_u8_x(svptrue_b8(), bytes, 4);
    return svreinterpret_s8_u8(SveBytes::add(nibbles, -8));
  } else {
    return svreinterpret_s8_u8(coded_values<F, SveBytes, G, 0>(planes));
  }
}

NIBBLE_INLINE svfloat32_t from_f16(const uint8_t* p) {
  const svuint32_t halves = svld1uh_u32(lanes32(), (const uint16_t*)p);
  return svcvt_f32_f16_x(svptrue_b32(), svreinterpret_f16_u32(halves));
}
NIBBLE_INLINE svfloat32_t from_bf16(const uint8_t* p) {
  const svuint32_t halves = svld1uh_u32(lanes32(), (const uint16_t*)p);
  return svreinterpret_f32_u32(svlsl_n_u32_x(svptrue_b32(), halves, 16));
}
NIBBLE_INLINE svfloat32_t from_int8(const uint8_t* p) {
  return svcvt_f32_s32_x(svptrue_b32(), svld1sb_s32(lanes32(), (const int8_t*)p));
}
template <int Shift>
NIBBLE_INLINE svfloat32_t from_nibble(const uint8_t* p) {
  const svuint32_t bytes = svlsr_n_u32_x(svptrue_b32(), svld1ub_u32(lanes32(), p), Shift);
  return svcvt_f32_u32_x(svptrue_b32(), svand_n_u32_x(svptrue_b32(), bytes, 15));
}
NIBBLE_INLINE svfloat32_t times(svfloat32_t a, svfloat32_t b) {
  return svmul_f32_x(svptrue_b32(), a, b);
}

template <Format F>
struct Tile {
  static constexpr CodedForm kForm = block_form(F);
  static constexpr size_t kRows = 16;
  static constexpr size_t kBlocks = (size_t)kForm.span / NIBBLE_BLOCK;
  static constexpr size_t kBlockBytes = F == Format::kQ8_0 ? 32 : coded_block_bytes(kForm);
  static constexpr size_t kHeadBytes = coded_head_bytes(kForm);
  static constexpr size_t kSpanBytes = kHeadBytes + kBlocks * kBlockBytes;
  static constexpr int kTokens = 4;

  // T tokens with the rows from `row` on that a vector holds.
  template <int T>
  static NIBBLE_KERNEL void rows(const TileJob* job, size_t row) {
    const svbool_t all = svptrue_b32();
    const size_t mt = job->mt, step = mt * NIBBLE_PANEL_BLOCK_BYTES;
    const uint8_t* w = job->w;
    const uint8_t* panel = job->x + 4 * job->t;  // the first token's d
    const uint8_t* x = job->x + 8 * mt + NIBBLE_BLOCK * job->t;
    svfloat32_t acc0 = svdup_n_f32(0), acc1 = acc0, acc2 = acc0, acc3 = acc0;
    for (size_t span = 0; span < job->blocks; span += kBlocks) {
      svfloat32_t of_span = kForm.bf16 ? from_bf16(w + 2 * row) : from_f16(w + 2 * row);
      if constexpr (kForm.factor != 1) of_span = svmul_n_f32_x(all, of_span, kForm.factor);
      svfloat32_t min_of_span = svdup_n_f32(0);
      if constexpr (kForm.minimum) {
        // Minima are divided by what the panel's sums are times.
        const float share = kForm.min_sign / (kForm.split ? 64.0f : 8.0f);
        min_of_span = svmul_n_f32_x(all, from_f16(w + 2 * (kRows + row)), share);
      }
      w += kRows * kHeadBytes;
      for (size_t b = 0; b < kBlocks; ++b) {
        unroll<kRows * kBlockBytes / 64>(
            [&](size_t i) { __builtin_prefetch(w + NIBBLE_PREFETCH_BYTES + 64 * i, 0, 2); });
        svfloat32_t scale0 = of_span, scale1 = of_span, min0 = min_of_span, min1 = min_of_span;
        if constexpr (kForm.span > NIBBLE_BLOCK) {
          const uint8_t* first = w + row;
          const uint8_t* second = first + (coded_scale_bytes(kForm) - 1) * kRows;
          if constexpr (kForm.split && kForm.minimum) {
            scale0 = times(of_span, from_nibble<0>(first));
            scale1 = times(of_span, from_nibble<0>(second));
            min0 = times(min_of_span, from_nibble<4>(first));
            min1 = times(min_of_span, from_nibble<4>(second));
          } else {
            scale0 = times(of_span, from_int8(first));
            if constexpr (kForm.split) scale1 = times(of_span, from_int8(second));
            if constexpr (kForm.minimum) min0 = times(min_of_span, from_int8(second));
          }
        }
        const uint8_t* planes = w + kRows * coded_scale_bytes(kForm) + 4 * row;
        const svint8_t w0 = values<F, 0>(planes), w1 = values<F, 1>(planes);
        const svint8_t w2 = values<F, 2>(planes), w3 = values<F, 3>(planes);
        const svint8_t w4 = values<F, 4>(planes), w5 = values<F, 5>(planes);
        const svint8_t w6 = values<F, 6>(planes), w7 = values<F, 7>(planes);

        const auto add = [&](size_t t, svfloat32_t acc) {
          const int8_t* q = (const int8_t*)x + NIBBLE_BLOCK * t;
          const svint8_t x0 = svld1rq_s8(svptrue_b8(), q), x1 = svld1rq_s8(svptrue_b8(), q + 16);
          svint32_t sum = svdot_lane_s32(svdup_n_s32(0), w0, x0, 0);
          sum = svdot_lane_s32(sum, w1, x0, 1);
          sum = svdot_lane_s32(sum, w2, x0, 2);
          sum = svdot_lane_s32(sum, w3, x0, 3);
          svint32_t other = kForm.split ? svdup_n_s32(0) : sum;
          other = svdot_lane_s32(other, w4, x1, 0);
          other = svdot_lane_s32(other, w5, x1, 1);
          other = svdot_lane_s32(other, w6, x1, 2);
          other = svdot_lane_s32(other, w7, x1, 3);
          const svfloat32_t whole = svcvt_f32_s32_x(all, other);
          const uint8_t* of_token = panel + 4 * t;
          const float d = load_f32(of_token);
          if constexpr (!kForm.split && !kForm.minimum) {
            return svmla_f32_x(all, acc, whole, svmul_n_f32_x(all, scale0, d));
          } else {
            svfloat32_t term;
            if constexpr (kForm.split) {
              term = times(whole, scale1);
              term = svmla_f32_x(all, term, svcvt_f32_s32_x(all, sum), scale0);
            } else {
              term = svmul_n_f32_x(all, min0, (float)load_i32(of_token + 4 * mt));
              term = svmla_f32_x(all, term, whole, scale0);
            }
            if constexpr (kForm.split && kForm.minimum) {
              const uint8_t* halves = of_token + (8 + NIBBLE_BLOCK) * mt;
              term = svmla_n_f32_x(all, term, min0, (float)load_i32(halves));
              term = svmla_n_f32_x(all, term, min1, (float)load_i32(halves + 4 * mt));
            }
            return svmla_n_f32_x(all, acc, term, d);
          }
        };
        acc0 = add(0, acc0);
        if constexpr (T > 1) acc1 = add(1, acc1);
        if constexpr (T > 2) acc2 = add(2, acc2);
        if constexpr (T > 3) acc3 = add(3, acc3);
        w += kRows * kBlockBytes;
        panel += step;
        x += step;
      }
    }
    const size_t left = min_size(job->rows - row, rows_at_once());
    const svbool_t wanted = svwhilelt_b32_u64(0, left);
    float* y = job->y + row;
    svst1_f32(wanted, y, acc0);
    if constexpr (T > 1) svst1_f32(wanted, y + job->y_stride, acc1);
    if constexpr (T > 2) svst1_f32(wanted, y + 2 * job->y_stride, acc2);
    if constexpr (T > 3) svst1_f32(wanted, y + 3 * job->y_stride, acc3);
  }

  template <int T>
  static void run(const TileJob* job) {
    for (size_t row = 0; row < job->rows; row += rows_at_once()) rows<T>(job, row);
  }
};

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(matmul, nibble::kBlockMatmul<nibble::Tile>);
