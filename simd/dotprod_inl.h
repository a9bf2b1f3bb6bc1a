// Integer sums by SDOT, as matmul_neon_inl.h wants them; shared by the levels dotprod and i8mm.
//
// sdot by element takes 4 activations of a register for all 4 rows: nothing is broadcast.
#pragma once

#include <arm_neon.h>

#include "simd/matmul_neon_inl.h"

namespace nibble {
namespace {

// A sum starts as the bits of this float and ends as those of float + sum: one subtraction gives
// the sum as a float. scvtf would take both slots of the vector pipe V0 of a Cortex-A76. Exact
// while |sum| < 2^22; a block's is at most 32 * 128 * 127, of Q4_0 times 16 as much.
// Of Q4_0 times 16 the unit in the last place is 1/16, so that the sum comes as it should be.
template <Format F>
struct SumStart {
  static constexpr float kValue = F == Format::kQ4_0 ? 0x1.8p19f : 0x1.8p23f;
  alignas(16) static constexpr float kValues[8] = {kValue, kValue, kValue, kValue,
                                                   kValue, kValue, kValue, kValue};
};

// Of one or two sums. Loaded anew each time: a load takes no slot of the vector pipes, copying a
// register does.
template <Format F>
NIBBLE_INLINE void sum_starts(int32x4_t (&start)[1]) {
  __asm__ volatile("ldr\t%q0, %1" : "=w"(start[0]) : "m"(SumStart<F>::kValues));
}
template <Format F>
NIBBLE_INLINE void sum_starts(int32x4_t (&start)[2]) {
  __asm__ volatile("ldp\t%q0, %q1, %2"
                   : "=w"(start[0]), "=w"(start[1])
                   : "Q"(SumStart<F>::kValues));
}

template <Format F>
NIBBLE_INLINE float32x4_t float_sum(int32x4_t sum) {
  return vsubq_f32(vreinterpretq_f32_s32(sum), vdupq_n_f32(SumStart<F>::kValue));
}

struct Sdot {
  static constexpr bool kTimes16 = true;
  static constexpr int kTokens = 2;

  static inline void arrange(QuadBlock&) {}

  // Groups [G, Last) of columns; x holds the 16 activations that group G's are among.
  template <int G, int Last>
  static NIBBLE_INLINE int32x4_t add(const QuadBlock& block, int8x16_t x, int32x4_t sum) {
    if constexpr (G == Last) {
      return sum;
    } else {
      return add<G + 1, Last>(block, x, vdotq_laneq_s32(sum, block[G], x, G % 4));
    }
  }

  static constexpr bool kCodes = true;
  template <Format F>
  static NIBBLE_INLINE float32x4_t whole_sum(const QuadBlock& block, const uint8_t* x,
                                             const uint8_t* neg8) {
    constexpr Format kBytes = Format::kQ8_0;
    int32x4_t sum = vreinterpretq_s32_f32(vdupq_n_f32(SumStart<kBytes>::kValue));
    if constexpr (F == Format::kQ4_0) sum = vaddq_s32(sum, vld1q_dup_s32((const int32_t*)neg8));
    sum = add<0, 4>(block, vld1q_s8((const int8_t*)x), sum);
    return float_sum<kBytes>(add<4, 8>(block, vld1q_s8((const int8_t*)x + 16), sum));
  }

  template <Format F, int First, int Last, int N>
  static NIBBLE_INLINE void sums(const QuadBlock& block, const uint8_t* x, float32x4_t (&sum)[N]) {
    int32x4_t start[N];
    sum_starts<F>(start);
    unroll<N>([&](size_t t) {
      const int8_t* q = (const int8_t*)x + NIBBLE_BLOCK * t;
      int32x4_t dots = add<First, First + 4>(block, vld1q_s8(q + 4 * First), start[t]);
      if constexpr (Last == 8 && First == 0) dots = add<4, 8>(block, vld1q_s8(q + 16), dots);
      sum[t] = float_sum<F>(dots);
    });
  }
};

}  // namespace
}  // namespace nibble
