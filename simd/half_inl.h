// Exact conversions of half-precision bits (IEEE binary16, bfloat16) in software.
//
// Round to nearest even, subnormals kept, NaN stays NaN (made quiet, payload cut): the results of
// F16C and of ARM's fcvt. `static inline`, so that no copy is shared between ISA levels.
// Read next: vec16_inl.h.
#pragma once

#include <stdint.h>
#include <string.h>

namespace nibble {

static inline float float_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

static inline uint32_t bits_from_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

static inline float f32_from_f16(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  const uint32_t shifted = (uint32_t)(half & 0x7fff) << 13;
  // Rebiasing the exponent (15 -> 127) by a multiplication also normalises subnormals, exactly.
  uint32_t bits = bits_from_float(float_from_bits(shifted) * 0x1p112f);
  if (shifted >= 0x0f800000) bits = shifted | 0x7f800000;  // infinity, NaN
  if (shifted > 0x0f800000) bits |= 0x00400000;            // quiet
  return float_from_bits(sign | bits);
}

static inline uint16_t f16_from_f32(float value) {
  const uint32_t bits = bits_from_float(value);
  const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  uint32_t half;
  if (magnitude > 0x7f800000) {
    half = 0x7e00 | (magnitude >> 13 & 0x3ff);
  } else if (magnitude >= 0x477ff000) {  // 65520 and above round to infinity
    half = 0x7c00;
  } else if (magnitude < 0x38800000) {  // below 2^-14: subnormal, in steps of 2^-24
    // The sum has its unit in the last place at 2^-24, so the hardware does the rounding.
    half = bits_from_float(float_from_bits(magnitude) + 0.5f) - 0x3f000000;
  } else {
    const uint32_t odd = magnitude >> 13 & 1;
    half = (magnitude - 0x38000000 + 0xfff + odd) >> 13;
  }
  return (uint16_t)(sign | half);
}

static inline float f32_from_bf16(uint16_t half) {
  return float_from_bits((uint32_t)half << 16);
}

static inline uint16_t bf16_from_f32(float value) {
  const uint32_t bits = bits_from_float(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace nibble
