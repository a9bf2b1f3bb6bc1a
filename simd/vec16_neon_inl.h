// Vec16 on NEON: four registers of four floats. ARMv8.0 has all that it takes, the conversions of
// half precision too, so that one form serves every ARM level.
//
// In intrinsics rather than on xsimd, which would leave little: ARM's max and min give NaN where
// vec16_inl.h wants b, and half precision, narrowing stores and the order of reductions are missing
// there. Read next: vec16_inl.h.
#pragma once

#include <arm_neon.h>

#include "simd/vec16_inl.h"

namespace nibble {
namespace {

struct NeonPart {
  using Float = float32x4_t;
  using Int = int32x4_t;
  static constexpr size_t kLanes = 4;
  static constexpr size_t kTile = 4;

  static Float splat(float x) { return vdupq_n_f32(x); }
  static Float splat(F16 x) { return widened(vdup_n_u16(x.bits)); }
  static Float load(const float* p) { return vld1q_f32(p); }
  static Float load_once(const float* p) { return load(p); }
  static Float load(const F16* p) { return widened(vld1_u16(&p->bits)); }
  static Float load(const BF16* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&p->bits), 16));
  }
  static Float load(const int8_t* p) { return from_int8(vreinterpret_s8_u32(four_bytes(p))); }
  static Float load_low(const uint8_t* p) {
    return from_nibbles(vand_u8(vreinterpret_u8_u32(four_bytes(p)), vdup_n_u8(15)));
  }
  static Float load_high(const uint8_t* p) {
    return from_nibbles(vshr_n_u8(vreinterpret_u8_u32(four_bytes(p)), 4));
  }
  static void store(Float x, float* p) { vst1q_f32(p, x); }
  static void store(Float x, F16* p) { vst1_u16(&p->bits, vreinterpret_u16_f16(vcvt_f16_f32(x))); }

  static Float add(Float a, Float b) { return vaddq_f32(a, b); }
  static Float sub(Float a, Float b) { return vsubq_f32(a, b); }
  static Float mul(Float a, Float b) { return vmulq_f32(a, b); }
  static Float div(Float a, Float b) { return vdivq_f32(a, b); }
  static Float fma(Float a, Float b, Float c) { return vfmaq_f32(c, a, b); }
  static Float max(Float a, Float b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static Float min(Float a, Float b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static Float abs(Float a) { return vabsq_f32(a); }
  static Float with_sign_of(Float magnitude, Float sign) {
    return vbslq_f32(vdupq_n_u32(0x80000000), sign, magnitude);
  }
  static float reduce_add(Float a) {
    const float32x2_t two = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  static float reduce_max(Float a) {
    const float32x2_t low = vget_low_f32(a), high = vget_high_f32(a);
    const float32x2_t two = vbsl_f32(vcgt_f32(low, high), low, high);
    const float first = vget_lane_f32(two, 0), second = vget_lane_f32(two, 1);
    return first > second ? first : second;
  }

  static Int bits(Float a) { return vreinterpretq_s32_f32(a); }
  static Int sub(Int a, Int b) { return vsubq_s32(a, b); }
  static Int half(Int a) { return vshrq_n_s32(a, 1); }
  static Float pow2(Int n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
  }
  static Int max_int(Int a, Int b) { return vmaxq_s32(a, b); }
  static Int add_int(Int a, Int b) { return vaddq_s32(a, b); }
  static int32_t reduce_max_int(Int a) { return vmaxvq_s32(a); }
  static int32_t reduce_add_int(Int a) { return vaddvq_s32(a); }
  static void store_int8(Int a, int8_t* p) {
    const int16x4_t words = vmovn_s32(a);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    const uint32_t four = vget_lane_u32(vreinterpret_u32_s8(bytes), 0);
    memcpy(p, &four, sizeof(four));
  }

 private:
  static Float widened(uint16x4_t half) { return vcvt_f32_f16(vreinterpret_f16_u16(half)); }
  static uint32x2_t four_bytes(const void* p) {
    uint32_t four;
    memcpy(&four, p, sizeof(four));
    return vdup_n_u32(four);
  }
  static Float from_int8(int8x8_t bytes) {
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
  }
  static Float from_nibbles(uint8x8_t nibbles) {
    return from_int8(vreinterpret_s8_u8(vsub_u8(nibbles, vdup_n_u8(8))));
  }
};

}  // namespace
}  // namespace nibble
