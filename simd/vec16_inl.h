// The virtual vector of 16 floats in which every float kernel is written, and its plain form.
//
// Vec16<P> is 16 lanes made of parts P: single floats here (ScalarPart), xsimd batches in
// vec16_xsimd_inl.h. Kernels are templates over Vec16, so the order of operations is that of the 16
// lanes and the result has the same bits on every ISA: a sum over a row is 16 partial sums (lane =
// index mod 16), then reduce_add(); products are fused with sums only where fma() says so.
// NaN: max(a, b) is a > b ? a : b and min(a, b) is a < b ? a : b, so b when either is NaN.
//
// Compiled once per ISA level, so all of it has internal linkage. Read next: math_inl.h,
// elementwise_inl.h, attention_inl.h, dot_inl.h.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simd/abi.h"
#include "simd/half_inl.h"
#include "simd/inline_inl.h"

namespace nibble {
namespace {

// Elements in memory, told apart by type. Any alignment of the element suffices everywhere.
struct F16 {
  uint16_t bits;
};
struct BF16 {
  uint16_t bits;
};

// 1.5 * 2^23: added to |x| < 2^22, rounds x to the nearest integer (ties to even) and leaves it in
// the low bits.
constexpr float kRoundMagic = 12582912.0f;

// Calls f(0) .. f(N - 1), each index a constant. With a loop GCC decides too late that an array of
// vectors can live in registers, and keeps accumulators in memory (measured: half the speed).
template <size_t I>
struct Index {
  static constexpr size_t value = I;
  constexpr operator size_t() const { return I; }
};
template <size_t N, size_t I = 0, class F>
__attribute__((always_inline)) inline void unroll(const F& f) {
  if constexpr (I < N) {
    f(Index<I>());
    unroll<N, I + 1>(f);
  }
}

// One lane in plain C++: the reference. A part also tells how many Vec16 accumulators its machine
// holds in registers beside their operands (kTile).
struct ScalarPart {
  using Float = float;
  using Int = int32_t;
  static constexpr size_t kLanes = 1;
  static constexpr size_t kTile = 4;

  static Float splat(float x) { return x; }
  static Float load(const float* p) { return *p; }
  static Float load_once(const float* p) { return *p; }  // into a register, for several uses
  static Float load(const F16* p) { return f32_from_f16(p->bits); }
  static Float load(const BF16* p) { return f32_from_bf16(p->bits); }
  static Float load(const int8_t* p) { return *p; }
  // Nibbles less 8.
  static Float load_low(const uint8_t* p) { return static_cast<float>((*p & 15) - 8); }
  static Float load_high(const uint8_t* p) { return static_cast<float>((*p >> 4) - 8); }
  static Float splat(F16 x) { return f32_from_f16(x.bits); }
  static void store(Float x, float* p) { *p = x; }
  static void store(Float x, F16* p) { p->bits = f16_from_f32(x); }

  static Float add(Float a, Float b) { return a + b; }
  static Float sub(Float a, Float b) { return a - b; }
  static Float mul(Float a, Float b) { return a * b; }
  static Float div(Float a, Float b) { return a / b; }
  static Float fma(Float a, Float b, Float c) { return fmaf(a, b, c); }
  static Float max(Float a, Float b) { return a > b ? a : b; }
  static Float min(Float a, Float b) { return a < b ? a : b; }
  static Float abs(Float a) { return fabsf(a); }
  static Float with_sign_of(Float magnitude, Float sign) { return copysignf(magnitude, sign); }
  static float reduce_add(Float a) { return a; }
  static float reduce_max(Float a) { return a; }

  static Int bits(Float a) { return static_cast<Int>(bits_from_float(a)); }
  // Wraps around: a NaN's bits may come here.
  static Int sub(Int a, Int b) {
    return static_cast<Int>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b));
  }
  static Int half(Int a) { return a >> 1; }
  static Float pow2(Int n) { return float_from_bits((static_cast<uint32_t>(n) + 127) << 23); }
  static Int max_int(Int a, Int b) { return a > b ? a : b; }
  static Int add_int(Int a, Int b) { return a + b; }
  static int32_t reduce_max_int(Int a) { return a; }
  static int32_t reduce_add_int(Int a) { return a; }
  static void store_int8(Int a, int8_t* p) { *p = static_cast<int8_t>(a); }
};

// Calls f(i) for each part of a vector. The 16 parts of the scalar form stay a loop, which
// compilers can vectorise.
template <class P, class F>
__attribute__((always_inline)) inline void for_parts(const F& f) {
  constexpr size_t kParts = NIBBLE_LANES / P::kLanes;
  if constexpr (kParts == NIBBLE_LANES) {
    for (size_t i = 0; i < kParts; ++i) f(i);
  } else {
    unroll<kParts>(f);
  }
}

template <class P>
struct Vec16 {
  using Part = P;
  static constexpr size_t kParts = NIBBLE_LANES / P::kLanes;
  static constexpr size_t kTile = P::kTile;
  typename P::Float part[kParts];

  template <class T>  // float, F16
  static Vec16 splat(T x) {
    Vec16 r;
    for_parts<P>([&](size_t i) { r.part[i] = P::splat(x); });
    return r;
  }

  // 16 elements (float, F16, BF16, int8_t).
  template <class T>
  static Vec16 load(const T* p) {
    Vec16 r;
    for_parts<P>([&](size_t i) { r.part[i] = P::load(p + i * P::kLanes); });
    return r;
  }

  // The low or the high nibbles of 16 bytes, less 8.
  static Vec16 load_low(const uint8_t* p) {
    Vec16 r;
    for_parts<P>([&](size_t i) { r.part[i] = P::load_low(p + i * P::kLanes); });
    return r;
  }
  static Vec16 load_high(const uint8_t* p) {
    Vec16 r;
    for_parts<P>([&](size_t i) { r.part[i] = P::load_high(p + i * P::kLanes); });
    return r;
  }

  // The first n < 16 elements; the other lanes are zero. Reads nothing beyond them.
  template <class T>
  static Vec16 load_n(const T* p, size_t n) {
    T buffer[NIBBLE_LANES] = {};
    memcpy(buffer, p, n * sizeof(T));
    return load(buffer);
  }

  template <class T>
  void store(T* p) const {
    for_parts<P>([&](size_t i) { P::store(part[i], p + i * P::kLanes); });
  }

  template <class T>
  void store_n(T* p, size_t n) const {
    T buffer[NIBBLE_LANES];
    store(buffer);
    memcpy(p, buffer, n * sizeof(T));
  }
};

template <class P, class F, class... V>
inline Vec16<P> map_parts(F f, const V&... v) {
  Vec16<P> r;
  for_parts<P>([&](size_t i) { r.part[i] = f(v.part[i]...); });
  return r;
}

template <class P>
inline Vec16<P> operator+(const Vec16<P>& a, const Vec16<P>& b) {
  return map_parts<P>([](auto x, auto y) { return P::add(x, y); }, a, b);
}
template <class P>
inline Vec16<P> operator-(const Vec16<P>& a, const Vec16<P>& b) {
  return map_parts<P>([](auto x, auto y) { return P::sub(x, y); }, a, b);
}
template <class P>
inline Vec16<P> operator*(const Vec16<P>& a, const Vec16<P>& b) {
  return map_parts<P>([](auto x, auto y) { return P::mul(x, y); }, a, b);
}
template <class P>
inline Vec16<P> operator/(const Vec16<P>& a, const Vec16<P>& b) {
  return map_parts<P>([](auto x, auto y) { return P::div(x, y); }, a, b);
}
// a * b + c, rounded once.
template <class P>
inline Vec16<P> fma(const Vec16<P>& a, const Vec16<P>& b, const Vec16<P>& c) {
  return map_parts<P>([](auto x, auto y, auto z) { return P::fma(x, y, z); }, a, b, c);
}
template <class P>
inline Vec16<P> max(const Vec16<P>& a, const Vec16<P>& b) {
  return map_parts<P>([](auto x, auto y) { return P::max(x, y); }, a, b);
}
template <class P>
inline Vec16<P> min(const Vec16<P>& a, const Vec16<P>& b) {
  return map_parts<P>([](auto x, auto y) { return P::min(x, y); }, a, b);
}
template <class P>
inline Vec16<P> abs(const Vec16<P>& a) {
  return map_parts<P>([](auto x) { return P::abs(x); }, a);
}
template <class P>
inline Vec16<P> with_sign_of(const Vec16<P>& magnitude, const Vec16<P>& sign) {
  return map_parts<P>([](auto x, auto y) { return P::with_sign_of(x, y); }, magnitude, sign);
}

// The tree: lane i + lane i+8, then i + i+4, i + i+2, i + i+1.
template <class P>
inline float reduce_add(Vec16<P> v) {
  for (size_t n = Vec16<P>::kParts / 2; n > 0; n /= 2) {
    for (size_t i = 0; i < n; ++i) v.part[i] = P::add(v.part[i], v.part[i + n]);
  }
  return P::reduce_add(v.part[0]);
}
template <class P>
inline float reduce_max(Vec16<P> v) {
  for (size_t n = Vec16<P>::kParts / 2; n > 0; n /= 2) {
    for (size_t i = 0; i < n; ++i) v.part[i] = P::max(v.part[i], v.part[i + n]);
  }
  return P::reduce_max(v.part[0]);
}

// The integer n of a float t = n + kRoundMagic.
template <class P>
inline typename P::Int rounded_int(typename P::Float t) {
  return P::sub(P::bits(t), P::bits(P::splat(kRoundMagic)));
}

// v * 2^n for t = n + kRoundMagic and n in -252 .. 254, rounded once: the first factor is exact
// where the second is not.
template <class P>
inline Vec16<P> scale_by_pow2(const Vec16<P>& v, const Vec16<P>& t) {
  return map_parts<P>(
      [](auto x, auto rounded) {
        const auto n = rounded_int<P>(rounded);
        const auto half = P::half(n);
        return P::mul(P::mul(x, P::pow2(half)), P::pow2(P::sub(n, half)));
      },
      v, t);
}

}  // namespace
}  // namespace nibble
