// Vec16 on xsimd batches: two of AVX2, one of AVX-512.
//
// XsimdPart has what xsimd 8.1 gives; Machine<Arch> adds in intrinsics what it lacks (half
// precision, narrowing stores, a fused fma for AVX-512) or leaves open (the order of reductions).
// A new ISA needs its Machine and a look at max/min: ARM's give NaN where x86's give b.
// Read next: vec16_inl.h.
#pragma once

#include "simd/vec16_inl.h"
#include "simd/xsimd_inl.h"

namespace nibble {
namespace {

template <class Arch>
struct Machine;

#if defined(__AVX2__)
using Avx2 = xsimd::fma3<xsimd::avx2>;

template <>
struct Machine<Avx2> {
  static constexpr size_t kTile = 4;

  static __m256 fma(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
  static __m256 load(const F16* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static __m256 load(const BF16* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static __m256 load(const int8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
  static __m256 load_low(const uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return from_nibbles(_mm_and_si128(bytes, _mm_set1_epi8(15)));
  }
  static __m256 load_high(const uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return from_nibbles(_mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15)));
  }
  static __m256 from_nibbles(__m128i nibbles) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_sub_epi8(nibbles, _mm_set1_epi8(8))));
  }
  static __m256 splat(F16 x) {
    return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(x.bits)));
  }
  static void store(__m256 x, F16* p) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static float reduce_add(__m256 a) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float reduce_max(__m256 a) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static int32_t reduce_add_int(__m256i a) {
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
  }
  static int32_t reduce_max_int(__m256i a) {
    const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    const __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1)));
  }
  static void store_int8(__m256i a, int8_t* p) {
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
  }
};
#endif

#if defined(__AVX512BW__)
using Avx512 = xsimd::avx512bw;

template <>
struct Machine<Avx512> {
  static constexpr size_t kTile = 16;

  // xsimd 8.1 has only a multiplication and an addition here.
  static __m512 fma(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
  static __m512 load(const F16* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static __m512 load(const BF16* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static __m512 load(const int8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }
  static __m512 load_low(const uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return from_nibbles(_mm_and_si128(bytes, _mm_set1_epi8(15)));
  }
  static __m512 load_high(const uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return from_nibbles(_mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15)));
  }
  static __m512 from_nibbles(__m128i nibbles) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_sub_epi8(nibbles, _mm_set1_epi8(8))));
  }
  static __m512 splat(F16 x) {
    return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(x.bits)));
  }
  static void store(__m512 x, F16* p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static float reduce_add(__m512 a) {
    return Machine<Avx2>::reduce_add(
        _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
  }
  static float reduce_max(__m512 a) {
    return Machine<Avx2>::reduce_max(
        _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
  }
  static int32_t reduce_add_int(__m512i a) {
    return Machine<Avx2>::reduce_add_int(
        _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)));
  }
  static int32_t reduce_max_int(__m512i a) {
    return Machine<Avx2>::reduce_max_int(
        _mm256_max_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)));
  }
  static void store_int8(__m512i a, int8_t* p) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(a));
  }
};
#endif

template <class Arch>
struct XsimdPart : Machine<Arch> {
  using Float = xsimd::batch<float, Arch>;
  using Int = xsimd::batch<int32_t, Arch>;
  static constexpr size_t kLanes = Float::size;

  using Machine<Arch>::load;
  using Machine<Arch>::splat;
  using Machine<Arch>::store;
  static Float splat(float x) { return Float(x); }
  static Float load(const float* p) { return Float::load_unaligned(p); }
  // GCC else makes it an operand in memory of every instruction that takes it, and loads become the
  // limit.
  static Float load_once(const float* p) {
    auto loaded = Float::load_unaligned(p).data;
    __asm__("" : "+v"(loaded));
    return loaded;
  }
  static void store(const Float& x, float* p) { x.store_unaligned(p); }

  static Float add(const Float& a, const Float& b) { return a + b; }
  static Float sub(const Float& a, const Float& b) { return a - b; }
  static Float mul(const Float& a, const Float& b) { return a * b; }
  static Float div(const Float& a, const Float& b) { return a / b; }
  static Float max(const Float& a, const Float& b) { return xsimd::max(a, b); }
  static Float min(const Float& a, const Float& b) { return xsimd::min(a, b); }
  static Float abs(const Float& a) { return xsimd::abs(a); }
  static Float with_sign_of(const Float& magnitude, const Float& sign) {
    return magnitude | (sign & Float(-0.0f));
  }

  static Int bits(const Float& a) { return xsimd::bitwise_cast<Int>(a); }
  static Int sub(const Int& a, const Int& b) { return a - b; }
  static Int half(const Int& a) { return a >> 1; }
  static Float pow2(const Int& n) { return xsimd::bitwise_cast<Float>((n + Int(127)) << 23); }
  static Int add_int(const Int& a, const Int& b) { return a + b; }
  static Int max_int(const Int& a, const Int& b) { return xsimd::max(a, b); }
};

}  // namespace
}  // namespace nibble
