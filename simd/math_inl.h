// exp, tanh and the activation functions on 16 lanes, with the same bits on every ISA.
//
// Method: x = n ln2 + r with |r| <= ln2/2, then a polynomial for (e^r - 1 - r) / r^2 found by
// Remez's exchange (weighted for the relative error of e^r: 3.1e-9 before rounding of its
// coefficients). Measured over all floats: tests/simd/math_test.cpp.
// Read next: elementwise_inl.h.
#pragma once

#include "simd/vec16_inl.h"

namespace nibble {
namespace {

// n + kRoundMagic for the n with x = n ln2 + r.
template <class V>
inline V rounded_log2(const V& x) {
  return fma(x, V::splat(0x1.715476p+0f), V::splat(kRoundMagic));  // log2(e)
}

// e^r - 1 for that n.
template <class V>
inline V expm1_of_rest(const V& x, const V& rounded) {
  const V n = rounded - V::splat(kRoundMagic);
  V r = fma(n, V::splat(-0x1.62e430p-1f), x);  // ln2 in two floats
  r = fma(n, V::splat(0x1.05c610p-29f), r);
  V q = V::splat(0x1.6a1c5ap-10f);
  q = fma(q, r, V::splat(0x1.1239cap-7f));
  q = fma(q, r, V::splat(0x1.5558fap-5f));
  q = fma(q, r, V::splat(0x1.555492p-3f));
  q = fma(q, r, V::splat(0x1.fffffcp-2f));
  return fma(r * r, q, r);
}

// e^x within 1 ulp, correctly subnormal, 0 below -104, infinity above 88.73; NaN stays NaN.
template <class V>
inline V exp(const V& x) {
  // The bounds are the first operands so that NaN passes.
  const V clamped = min(V::splat(89.0f), max(V::splat(-104.5f), x));
  const V rounded = rounded_log2(clamped);
  return scale_by_pow2(expm1_of_rest(clamped, rounded) + V::splat(1.0f), rounded);
}

// (e^2|x| - 1) / (e^2|x| + 1) with the sign of x, within 3 ulp; NaN stays NaN.
template <class V>
inline V tanh(const V& x) {
  const V one = V::splat(1.0f);
  // tanh(9.1) is 1 in float.
  const V doubled = min(V::splat(20.0f), abs(x) + abs(x));
  const V rounded = rounded_log2(doubled);
  const V power = scale_by_pow2(one, rounded);
  const V expm1 = fma(power, expm1_of_rest(doubled, rounded), power - one);
  return with_sign_of(expm1 / (expm1 + V::splat(2.0f)), x);
}

template <class V>
inline V silu(const V& x) {
  const V one = V::splat(1.0f);
  return x / (one + exp(V::splat(0.0f) - x));
}

// x/2 (1 + tanh u) with u = sqrt(2/pi) (x + 0.044715 x^3), as x / (1 + e^-2u): no cancellation.
template <class V>
inline V gelu_tanh(const V& x) {
  const V one = V::splat(1.0f);
  const V linear = V::splat(-1.5957691216057308f);  // -2 sqrt(2/pi)
  const V cubic = V::splat(-0.071354816272600248f);
  return x / (one + exp(x * fma(cubic, x * x, linear)));
}

}  // namespace
}  // namespace nibble
