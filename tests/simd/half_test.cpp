// Half-precision conversions: every f16 and bf16 value, and every rounding border between them.
#include "simd/half_inl.h"

#include <gtest/gtest.h>

#include <cmath>

namespace nibble {
namespace {

// By the definition of binary16.
double f16_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Half, EveryF16Widens) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float got = f32_from_f16(static_cast<uint16_t>(bits));
    const double want = f16_value(static_cast<uint16_t>(bits));
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got)) << bits;
    } else {
      ASSERT_EQ(got, want) << bits;
      ASSERT_EQ(std::signbit(got), std::signbit(want)) << bits;
    }
  }
}

TEST(Half, EveryF16ComesBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const bool nan = (bits & 0x7fff) > 0x7c00;
    // A NaN comes back quiet with sign and payload.
    ASSERT_EQ(f16_from_f32(f32_from_f16(half)), nan ? bits | 0x200 : bits) << bits;
  }
}

// Rounding is monotonic, so its borders decide it: below, at and above each midpoint.
TEST(Half, F16RoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const uint16_t low = static_cast<uint16_t>(bits), high = static_cast<uint16_t>(bits + 1);
    // The border to infinity is where 2^16 would be the next value.
    const double above = high == 0x7c00 ? 65536.0 : f16_value(high);
    const float middle = static_cast<float>((f16_value(low) + above) / 2);
    const uint16_t even = (low & 1) == 0 ? low : high;
    ASSERT_EQ(f16_from_f32(middle), even) << bits;
    ASSERT_EQ(f16_from_f32(std::nextafterf(middle, 0.0f)), low) << bits;
    ASSERT_EQ(f16_from_f32(std::nextafterf(middle, INFINITY)), high) << bits;
    ASSERT_EQ(f16_from_f32(-middle), even | 0x8000) << bits;
  }
}

TEST(Half, F16Extremes) {
  EXPECT_EQ(f16_from_f32(INFINITY), 0x7c00);
  EXPECT_EQ(f16_from_f32(-INFINITY), 0xfc00);
  EXPECT_EQ(f16_from_f32(3e38f), 0x7c00);
  EXPECT_EQ(f16_from_f32(1e-45f), 0x0000);
  EXPECT_EQ(f16_from_f32(-1e-45f), 0x8000);
  EXPECT_EQ(f16_from_f32(float_from_bits(0x7f800001)), 0x7e00);  // NaN that a cut would lose
}

TEST(Half, EveryBf16) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    ASSERT_EQ(bits_from_float(f32_from_bf16(half)), bits << 16);
    const bool nan = (bits & 0x7fff) > 0x7f80;
    ASSERT_EQ(bf16_from_f32(f32_from_bf16(half)), nan ? bits | 0x40 : bits);
    if ((bits & 0x7fff) >= 0x7f80) continue;
    const uint16_t next = static_cast<uint16_t>(bits + 1);
    ASSERT_EQ(bf16_from_f32(float_from_bits(bits << 16 | 0x7fff)), half);
    ASSERT_EQ(bf16_from_f32(float_from_bits(bits << 16 | 0x8000)), bits & 1 ? next : half);
    ASSERT_EQ(bf16_from_f32(float_from_bits(bits << 16 | 0x8001)), next);
  }
  EXPECT_EQ(bf16_from_f32(float_from_bits(0x7f800001)), 0x7fc0);
}

}  // namespace
}  // namespace nibble
