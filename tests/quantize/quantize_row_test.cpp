// Every quantiser: what the exact decoder reads back is close to what was given, and never further
// than by plain rounding.
#include "runtime/quantize/quantize_row.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "simd/registry.h"
#include "tests/quantize/plain_rounding.h"

namespace nibble::test {
namespace {

constexpr size_t kWeights = 4096;

// As the scalar kernel decodes them.
std::vector<float> stored_values(Format format, const std::vector<float>& x,
                                 const float* importance = nullptr) {
  const Kernel* kernel = select_kernel(Op::kDequantizeRow, format, 0);
  std::vector<uint8_t> bytes(row_bytes(format, x.size()));
  quantize_row(format, x.data(), importance, x.size(), bytes.data());
  std::vector<float> stored(x.size());
  const DequantizeArgs args{bytes.data(), stored.data(), x.size()};
  kernel->entry->fn.dequantize(&args);
  return stored;
}

double loss(const std::vector<float>& x, const std::vector<float>& stored,
            const std::vector<float>* w = nullptr) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = static_cast<double>(x[i]) - static_cast<double>(stored[i]);
    sum += error * error * (w != nullptr ? static_cast<double>((*w)[i]) : 1.0);
  }
  return sum;
}

double relative_error(const std::vector<float>& x, const std::vector<float>& stored) {
  return std::sqrt(loss(x, stored) / loss(x, std::vector<float>(x.size())));
}

std::vector<float> gaussian_row(float mean = 0, size_t count = kWeights) {
  std::mt19937 generator(7);
  std::normal_distribution<float> normal(mean, 0.02f);
  std::vector<float> x(count);
  for (float& value : x) value = normal(generator);
  return x;
}

struct NamedRow {
  std::string name;
  std::vector<float> x;
};

std::vector<NamedRow> rows() {
  std::mt19937 generator(8);
  std::student_t_distribution<float> heavy(3);
  std::vector<NamedRow> rows = {{"gaussian", gaussian_row()},
                                {"shifted", gaussian_row(0.05f)},
                                {"zeros", std::vector<float>(kWeights, 0.0f)},
                                {"constant", std::vector<float>(kWeights, 0.37f)},
                                {"negative constant", std::vector<float>(kWeights, -0.37f)},
                                {"subnormal", gaussian_row()},
                                {"tiny", gaussian_row()},
                                {"heavy tails", gaussian_row()},
                                {"one outlier", gaussian_row()},
                                {"one weight", std::vector<float>(kWeights, 0.0f)},
                                {"largest half", gaussian_row()}};
  for (float& value : rows[5].x) value *= 1e-37f;
  for (float& value : rows[6].x) value *= 1e-5f;  // scales are subnormal halves
  for (float& value : rows[7].x) value = 0.02f * heavy(generator);
  rows[8].x[100] = 10;
  rows[9].x[1000] = -3;
  for (float& value : rows[10].x) value = std::copysign(65504.0f, value);
  return rows;
}

class Quantizer : public testing::TestWithParam<Storage> {};

TEST_P(Quantizer, IsCloseOnGaussianRows) {
  struct Bound {
    Format format;
    double relative;
  };
  constexpr Bound kBounds[] = {
      {Format::kQ4_0, 0.083},  {Format::kQ4_1, 0.071},  {Format::kQ5_0, 0.0415},
      {Format::kQ5_1, 0.0350}, {Format::kQ8_0, 0.0050}, {Format::kIQ4_NL, 0.0755},
      {Format::kQ2_K, 0.267},  {Format::kQ3_K, 0.1475}, {Format::kQ4_K, 0.0718},
      {Format::kQ5_K, 0.0357}, {Format::kQ6_K, 0.0175}, {Format::kIQ4_XS, 0.0762},
  };
  const std::vector<float> x = gaussian_row();
  for (const Bound& bound : kBounds) {
    if (bound.format != GetParam().format) continue;
    EXPECT_LT(relative_error(x, stored_values(bound.format, x)), bound.relative);
  }
}

TEST_P(Quantizer, IsNeverWorseThanPlainRounding) {
  const size_t block = format_info(GetParam().format).block;
  for (const auto& [name, x] : rows()) {
    std::vector<float> plain(x.size());
    for (size_t i = 0; i < x.size(); i += block) {
      round_plainly(GetParam(), x.data() + i, block, plain.data() + i);
    }
    const std::vector<float> stored = stored_values(GetParam().format, x);
    for (const float value : stored) ASSERT_TRUE(std::isfinite(value)) << name;
    EXPECT_LE(loss(x, stored), 1.00001 * loss(x, plain)) << name;
    if (name == "tiny") continue;  // there the scales themselves are rounded coarsely
    EXPECT_LE(loss(x, stored), loss(x, std::vector<float>(x.size()))) << name;  // than zeros
  }
}

TEST_P(Quantizer, KeepsZerosAndConstants) {
  for (const float value : {0.0f, 0.37f, -0.37f, 65504.0f, 1.0f}) {
    const std::vector<float> x(kWeights, value);
    for (const float stored : stored_values(GetParam().format, x)) {
      ASSERT_NEAR(stored, value, std::abs(value) / 1024);
    }
  }
}

TEST_P(Quantizer, SpendsItsPrecisionWhereItMatters) {
  const std::vector<float> x = gaussian_row();
  std::vector<float> importance(x.size());
  std::mt19937 generator(9);
  std::exponential_distribution<float> exponential(1);
  for (float& w : importance) w = std::pow(exponential(generator), 3.0f);
  const std::vector<float> weighted = stored_values(GetParam().format, x, importance.data());
  const std::vector<float> unweighted = stored_values(GetParam().format, x);
  EXPECT_LT(loss(x, weighted, &importance), 0.9 * loss(x, unweighted, &importance));
  EXPECT_LE(loss(x, unweighted), loss(x, weighted));
}

// No importance at all is as good as none given.
TEST_P(Quantizer, TakesImportancesOfZero) {
  const std::vector<float> x = gaussian_row();
  const std::vector<float> zeros(x.size(), 0.0f);
  EXPECT_NEAR(relative_error(x, stored_values(GetParam().format, x, zeros.data())),
              relative_error(x, stored_values(GetParam().format, x)), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Formats, Quantizer, testing::ValuesIn(kStorages), [](const auto& storage) {
  return std::string(format_info(storage.param.format).name);
});

TEST(QuantizeRow, RoundsFloats) {
  const std::vector<float> x = {1.0f, -2.5f, 0.1f, 65504.0f, 0.0f, 1e-7f};
  for (const Format format : {Format::kF32, Format::kF16, Format::kBF16}) {
    const std::vector<float> stored = stored_values(format, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const float exact = format == Format::kF32   ? x[i]
                          : format == Format::kF16 ? f32_from_f16(f16_from_f32(x[i]))
                                                   : f32_from_bf16(bf16_from_f32(x[i]));
      EXPECT_EQ(stored[i], exact);
    }
  }
}

}  // namespace
}  // namespace nibble::test
