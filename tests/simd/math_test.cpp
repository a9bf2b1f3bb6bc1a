// exp, tanh and the activations against double precision, over floats of every magnitude.
#include "simd/math_inl.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace nibble {
namespace {

using V = Vec16<ScalarPart>;

float lane(const V& v) {
  float out[16];
  v.store(out);
  return out[7];
}

// Distance in units of the last place of `want` as a float (subnormals included).
double ulps(float got, double want) {
  const float nearest = static_cast<float>(want);
  if (got == nearest) return 0;
  const double step = std::max(std::ldexp(1.0, std::ilogb(want) - 23), std::ldexp(1.0, -149));
  return std::abs(static_cast<double>(got) - want) / step;
}

// Calls f(x) for about `count` floats, evenly over the bit patterns of magnitudes up to `limit`.
template <typename F>
void for_floats(float limit, uint32_t count, F f) {
  const uint32_t last = bits_from_float(limit);
  for (uint32_t bits = 0; bits < last; bits += std::max(1u, last / count)) {
    f(float_from_bits(bits));
    f(-float_from_bits(bits));
  }
}

TEST(Math, ExpIsWithinOneUlp) {
  double worst = 0;
  for_floats(88.72f, 3000000, [&](float x) {
    worst = std::max(worst, ulps(lane(exp(V::splat(x))), std::exp(static_cast<double>(x))));
  });
  // Bits count small magnitudes mostly; these are the large ones, down to subnormal results.
  for (float x = -104.0f; x < 88.72f; x += 0.0007f) {
    worst = std::max(worst, ulps(lane(exp(V::splat(x))), std::exp(static_cast<double>(x))));
  }
  EXPECT_LT(worst, 1.0);
}

TEST(Math, ExpAtTheEnds) {
  const float inf = std::numeric_limits<float>::infinity();
  const auto e = [](float x) { return lane(exp(V::splat(x))); };
  EXPECT_EQ(e(-inf), 0.0f);
  EXPECT_EQ(e(-1e30f), 0.0f);
  EXPECT_EQ(e(-103.9f), std::ldexp(1.0f, -149));
  EXPECT_EQ(e(-104.1f), 0.0f);
  EXPECT_EQ(e(0.0f), 1.0f);
  EXPECT_EQ(e(-0.0f), 1.0f);
  EXPECT_EQ(e(88.73f), inf);
  EXPECT_EQ(e(1e30f), inf);
  EXPECT_EQ(e(inf), inf);
  EXPECT_TRUE(std::isnan(e(NAN)));
  EXPECT_TRUE(std::isnan(e(-NAN)));
}

TEST(Math, TanhIsWithinThreeUlps) {
  double worst = 0;
  const auto check = [&](float x) {
    worst = std::max(worst, ulps(lane(tanh(V::splat(x))), std::tanh(static_cast<double>(x))));
  };
  for_floats(1e10f, 3000000, check);
  for (float x = -10.0f; x < 10.0f; x += 0.0001f) check(x);
  EXPECT_LT(worst, 3.0);
  EXPECT_EQ(lane(tanh(V::splat(INFINITY))), 1.0f);
  EXPECT_EQ(lane(tanh(V::splat(-INFINITY))), -1.0f);
  EXPECT_TRUE(std::signbit(lane(tanh(V::splat(-0.0f)))));
  EXPECT_TRUE(std::isnan(lane(tanh(V::splat(NAN)))));
}

// x / (1 + e^a) with a the exponent. Errors, u = 2^-24: a carries 4 roundings, so e^a is off by
// 4 u |a| + 2 u; then an addition and a division. Where e^a overflows the result is 0 for a true
// value below FLT_MIN.
template <typename F>
void check_gate(F f, double (*exponent)(double), double roundings) {
  const double u = std::ldexp(1.0, -24);
  for (float x = -30.0f; x < 30.0f; x += 0.0003f) {
    const double a = exponent(x);
    const double want = x / (1 + std::exp(a));
    const double bound = (roundings * std::abs(a) + 4) * u * std::abs(want) + 31 * 1.2e-38;
    ASSERT_NEAR(lane(f(V::splat(x))), want, bound) << x;
  }
  for (float x : {1e10f, 1e20f, 3e38f}) {  // x^3 overflows
    EXPECT_EQ(lane(f(V::splat(x))), x);
    EXPECT_EQ(lane(f(V::splat(-x))), 0.0f);
  }
  EXPECT_TRUE(std::isnan(lane(f(V::splat(NAN)))));
}

TEST(Math, Gelu) {
  check_gate(
      [](const V& x) { return gelu_tanh(x); },
      [](double x) { return -2 * std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x); }, 4);
}

TEST(Math, Silu) {
  check_gate([](const V& x) { return silu(x); }, [](double x) { return -x; }, 0);
}

}  // namespace
}  // namespace nibble
