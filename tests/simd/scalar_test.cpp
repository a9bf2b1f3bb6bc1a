// The scalar kernels against double precision and against values worked out by hand.
//
// Bounds, with u = 2^-24 (the error of one rounding, relative): a chain of n fma's, or the tree of
// a reduction, is off by at most (roundings on the way of a term) * u * sum of the terms'
// magnitudes. Terms of second order are below 1 % here: the factor 1.01.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "simd/coded_form_inl.h"
#include "tests/simd/kernel_inputs.h"

namespace nibble {
namespace {

const double kU = 1.01 * std::ldexp(1.0, -24);

const KernelEntry& scalar(Op op, Format format = Format::kF32) {
  return *select_kernel(op, format, 0)->entry;
}

std::vector<uint8_t> bytes_of_block(uint16_t scale, const std::vector<uint8_t>& rest) {
  std::vector<uint8_t> bytes(2 + rest.size());
  std::memcpy(bytes.data(), &scale, sizeof(scale));
  std::copy(rest.begin(), rest.end(), bytes.begin() + 2);
  return bytes;
}

std::vector<float> dequantized(Format format, const std::vector<uint8_t>& bytes, size_t k) {
  std::vector<float> out(k);
  const DequantizeArgs args = {.src = bytes.data(), .dst = out.data(), .k = k};
  scalar(Op::kDequantizeRow, format).fn.dequantize(&args);
  return out;
}

TEST(Dequantize, Q4_0ByHand) {
  std::vector<uint8_t> nibbles(16, 0x88);  // zeros
  nibbles[0] = 0xf0;                       // element 0: -8, element 16: 7
  nibbles[15] = 0x29;                      // element 15: 1, element 31: -6
  const std::vector<float> got =
      dequantized(Format::kQ4_0, bytes_of_block(0x3800, nibbles), 32);  // d = 0.5
  std::vector<float> want(32, 0.0f);
  want[0] = -4.0f;
  want[16] = 3.5f;
  want[15] = 0.5f;
  want[31] = -3.0f;
  EXPECT_EQ(got, want);
}

// Each element is at most half a step from its stored value, but for the one extreme that has no
// nibble of its own: +8 steps become +7.
TEST(ToQ4_0, StoresTheNearestAndTellsTheError) {
  const size_t k = 256;
  std::vector<float> x(k);
  for (size_t i = 0; i < k; ++i) x[i] = std::sin(static_cast<float>(i * i)) * (i < 128 ? 1 : 1e-3f);
  std::fill(x.begin() + 64, x.begin() + 96, 0.0f);
  std::vector<uint8_t> q(k / 32 * 18);
  float squares = -1;
  const ToQ4_0Args args = {.x = x.data(), .k = k, .dst = q.data(), .error_squares = &squares};
  scalar(Op::kToQ4_0).fn.to_q4_0(&args);
  const std::vector<float> back = dequantized(Format::kQ4_0, q, k);
  double sum = 0;
  for (size_t b = 0; b < k; b += 32) {
    double amax = 0;
    for (size_t i = b; i < b + 32; ++i) amax = std::max(amax, std::abs(double{x[i]}));
    const double step = amax / 8;
    for (size_t i = b; i < b + 32; ++i) {
      const double error = double{x[i]} - back[i];
      const bool clipped = std::abs(back[i]) > 6.9 * step && std::abs(x[i]) > std::abs(back[i]);
      // d is rounded to a half: 2^-11 of up to 8 steps.
      EXPECT_LE(std::abs(error), (clipped ? 1.0 : 0.5) * step + amax * 0x1p-11) << i;
      sum += error * error;
    }
  }
  EXPECT_NEAR(squares, sum, 1e-5 * sum);
  x[70] = INFINITY;
  scalar(Op::kToQ4_0).fn.to_q4_0(&args);
  EXPECT_TRUE(std::isnan(squares));
}

TEST(Dequantize, Q8_0ByHand) {
  std::vector<uint8_t> values(32, 0);
  values[0] = 0x80;  // -128
  values[1] = 0x7f;
  values[31] = 0xff;  // -1
  const std::vector<float> got =
      dequantized(Format::kQ8_0, bytes_of_block(0xb400, values), 32);  // d = -0.25
  std::vector<float> want(32, -0.0f);
  want[0] = 32.0f;
  want[1] = -31.75f;
  want[31] = 0.25f;
  EXPECT_EQ(got, want);
}

TEST(Dequantize, FloatsByHand) {
  EXPECT_EQ(dequantized(Format::kF16, {0x00, 0x3c, 0x01, 0x00, 0xff, 0xfb}, 3),
            (std::vector<float>{1.0f, std::ldexp(1.0f, -24), -65504.0f}));
  EXPECT_EQ(dequantized(Format::kBF16, {0x80, 0x3f, 0x49, 0xc0}, 2),
            (std::vector<float>{1.0f, -3.140625f}));
  EXPECT_EQ(dequantized(Format::kF32, {0x00, 0x00, 0x20, 0xc1}, 1), std::vector<float>{-10.0f});
}

struct Panel {
  float d;
  int32_t neg8;
  std::vector<int> q;
};

Panel quantized(const std::vector<float>& x) {
  const std::vector<uint8_t> bytes = make_panels(x, 1, 32);
  Panel panel;
  std::memcpy(&panel.d, bytes.data(), 4);
  std::memcpy(&panel.neg8, bytes.data() + 4, 4);
  for (size_t i = 0; i < 32; ++i) panel.q.push_back(static_cast<int8_t>(bytes[8 + i]));
  return panel;
}

TEST(Quantize, RoundsToNearestEven) {
  std::vector<float> x(32, 0.0f);
  x[0] = 127.0f;  // d = 1
  x[1] = 0.5f;
  x[2] = 1.5f;
  x[3] = -2.5f;
  x[4] = -126.75f;
  const Panel panel = quantized(x);
  std::vector<int> want(32, 0);
  want[0] = 127;
  want[2] = 2;
  want[3] = -2;
  want[4] = -127;
  EXPECT_EQ(panel.d, 1.0f);
  EXPECT_EQ(panel.q, want);
  EXPECT_EQ(panel.neg8, 0);
}

TEST(Quantize, FollowsTheRecipe) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::vector<float> x = make_floats(32, Flavour::kPlain, seed);
    for (float& value : x) value = std::ldexp(value, static_cast<int>(seed) - 100);
    const Panel panel = quantized(x);
    float amax = 0;
    for (float value : x) amax = std::max(amax, std::abs(value));
    ASSERT_EQ(panel.d, amax / 127.0f);
    for (size_t i = 0; i < 32; ++i) {
      ASSERT_EQ(panel.q[i], std::nearbyint(x[i] * (127.0f / amax))) << seed;
    }
    ASSERT_EQ(panel.neg8, -8 * std::accumulate(panel.q.begin(), panel.q.end(), 0));
  }
}

TEST(Quantize, ZeroTinyAndNotFinite) {
  const std::vector<int> zeros(32, 0);
  EXPECT_EQ(quantized(std::vector<float>(32, 0.0f)).d, 0.0f);
  EXPECT_EQ(quantized(std::vector<float>(32, -0.0f)).q, zeros);
  EXPECT_EQ(quantized(std::vector<float>(32, 1e-40f)).q, zeros);
  for (float bad : {INFINITY, -INFINITY, NAN, -NAN}) {
    std::vector<float> x(32, 1.0f);
    x[17] = bad;
    const Panel panel = quantized(x);
    EXPECT_TRUE(std::isnan(panel.d));
    EXPECT_EQ(panel.q, zeros);
    EXPECT_EQ(panel.neg8, 0);
  }
}

class ScalarMatmul : public testing::TestWithParam<int> {};

TEST_P(ScalarMatmul, AgreesWithDoublePrecision) {
  const auto format = static_cast<Format>(GetParam());
  const bool blocks = format_info(format).block > 1;
  for (size_t k : {32, 96, 256, 1152, 1280}) {
    if (k % format_info(format).block != 0) continue;
    const size_t n = 9, m = 18;
    const std::vector<uint8_t> weights = make_weights(format, {m, n, k}, Flavour::kPlain, 1);
    const std::vector<float> w = dequantized(format, weights, n * k);
    std::vector<float> x = make_floats(m * k, Flavour::kPlain, 2);
    const std::vector<uint8_t> panels = make_panels(x, m, k);
    std::vector<float> y(m * n);
    const MatmulArgs args = {.w = weights.data(),
                             .x = blocks ? static_cast<const void*>(panels.data()) : x.data(),
                             .y = y.data(),
                             .y_stride = n,
                             .n = n,
                             .k = k,
                             .m = m};
    scalar(Op::kMatmul, format).fn.matmul(&args);
    // Blocks: the integer sums are exact; a rounding for d_w * d_x, one for each fma, one for the
    // product d_w * q inside w and one for d_x * q below. Floats: one for each fma of a lane and
    // four in the tree.
    const double roundings =
        blocks ? static_cast<double>(k / 32 + 3) : static_cast<double>(k / 16 + 4);
    // Coded formats round three products more a block; a code's product and the minimum may cancel
    // in the weight, so that the magnitudes of what is summed are larger (here at most 8 times).
    const double allowed = coded_form(format).span != 0 ? 8 * (roundings + 4) : roundings;
    for (size_t t = 0; t < m; ++t) {
      if (blocks) {  // what the panel says
        const size_t first = t / 16 * 16, mt = std::min<size_t>(16, m - first);
        for (size_t i = 0; i < k; ++i) {
          const uint8_t* block =
              panels.data() + (first * (k / 32) + i / 32 * mt) * kPanelBlockBytes;
          float d;
          std::memcpy(&d, block + (t - first) * 4, 4);
          x[t * k + i] = d * static_cast<int8_t>(block[mt * 8 + (t - first) * 32 + i % 32]);
        }
      }
      for (size_t i = 0; i < n; ++i) {
        double sum = 0, magnitude = 0;
        for (size_t j = 0; j < k; ++j) {
          const double term = static_cast<double>(w[i * k + j]) * x[t * k + j];
          sum += term;
          magnitude += std::abs(term);
        }
        ASSERT_NEAR(y[t * n + i], sum, allowed * kU * magnitude) << "k " << k << " t " << t;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, ScalarMatmul, testing::Range(0, static_cast<int>(Format::kCount)),
                         [](const testing::TestParamInfo<int>& format) {
                           return std::string(format_info(static_cast<Format>(format.param)).name);
                         });

TEST(ScalarNorm, AgreesWithDoublePrecision) {
  for (size_t n : {1, 17, 1152}) {
    const std::vector<float> x = make_floats(n, Flavour::kPlain, 3);
    const std::vector<float> weight = make_floats(n, Flavour::kPlain, 4);
    const std::vector<float> before = make_floats(n, Flavour::kPlain, 5);
    double squares = 0;
    for (float value : x) squares += static_cast<double>(value) * value;
    const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-6f);
    for (bool accumulate : {false, true}) {
      std::vector<float> y = before;
      const NormArgs args = {.x = x.data(),
                             .weight = weight.data(),
                             .y = y.data(),
                             .n = n,
                             .eps = 1e-6f,
                             .accumulate = accumulate};
      scalar(Op::kRmsNorm).fn.norm(&args);
      // The sum of squares has n/16 + 5 roundings, which the root halves; mean, eps, root,
      // reciprocal and two products follow.
      const double roundings = static_cast<double>(n / 16 + 5) / 2 + 6;
      for (size_t i = 0; i < n; ++i) {
        const double norm = x[i] * factor * weight[i];
        const double want = norm + (accumulate ? before[i] : 0.0);
        ASSERT_NEAR(y[i], want, kU * (roundings * std::abs(norm) + std::abs(want))) << i;
      }
    }
  }
}

TEST(ScalarRope, TurnsThePairsOfEachForm) {
  const size_t half = 20;
  for (Op op : {Op::kRopeNeox, Op::kRopeNorm}) {
    const std::vector<float> before = make_floats(2 * half, Flavour::kPlain, 6);
    std::vector<float> x = before, cos(half), sin(half);
    for (size_t i = 0; i < half; ++i) {
      cos[i] = std::cos(static_cast<float>(i));
      sin[i] = std::sin(static_cast<float>(i));
    }
    const RopeArgs args = {.x = x.data(), .cos = cos.data(), .sin = sin.data(), .n_rot = 2 * half};
    scalar(op).fn.rope(&args);
    for (size_t i = 0; i < half; ++i) {
      const size_t first = op == Op::kRopeNeox ? i : 2 * i;
      const size_t second = op == Op::kRopeNeox ? i + half : 2 * i + 1;
      const double a = before[first], b = before[second];
      const double bound = 2 * kU * (std::abs(a) + std::abs(b));
      ASSERT_NEAR(x[first], a * cos[i] - b * sin[i], bound);
      ASSERT_NEAR(x[second], a * sin[i] + b * cos[i], bound);
    }
  }
}

TEST(ScalarUnary, AddScaleSoftcap) {
  const std::vector<float> before = make_floats(100, Flavour::kPlain, 7);
  const std::vector<float> x = make_floats(100, Flavour::kPlain, 8);
  for (Op op : {Op::kAdd, Op::kScale, Op::kSoftcap}) {
    std::vector<float> y = before;
    const UnaryArgs args = {.y = y.data(), .x = x.data(), .n = 100, .scalar = 3.0f};
    scalar(op).fn.unary(&args);
    for (size_t i = 0; i < 100; ++i) {
      if (op == Op::kAdd) {
        ASSERT_EQ(y[i], before[i] + x[i]);
      } else if (op == Op::kScale) {
        ASSERT_EQ(y[i], before[i] * 3.0f);
      } else {
        // tanh has 3 ulps (6 u); 1/scalar, two products and the argument's part: 4 more.
        const double want = 3.0 * std::tanh(before[i] / 3.0);
        ASSERT_NEAR(y[i], want, 10 * kU * std::abs(want));
      }
    }
  }
}

TEST(ScalarKv, StoresKeysSideBySideAndValuesInRows) {
  const size_t head_dim = 24, slot = 37;
  const std::vector<float> k = make_floats(head_dim, Flavour::kPlain, 9);
  const std::vector<float> v = make_floats(head_dim, Flavour::kPlain, 10);
  std::vector<uint16_t> keys(NIBBLE_KEY_BLOCK * head_dim, 0xffff), values = keys;
  std::vector<uint16_t> want_keys = keys, want_values = keys;
  for (size_t d = 0; d < head_dim; ++d) {
    want_keys[(2 * head_dim + d) * 16 + 5] = f16_from_f32(k[d]);
    want_values[slot * head_dim + d] = f16_from_f32(v[d]);
  }
  const ToKvArgs args = {.k = k.data(),
                         .v = v.data(),
                         .k_block = keys.data(),
                         .v_block = values.data(),
                         .slot = slot,
                         .head_dim = head_dim};
  scalar(Op::kToKv, Format::kF16).fn.to_kv(&args);
  EXPECT_EQ(keys, want_keys);
  EXPECT_EQ(values, want_values);
}

// A block of a quantised cache, read here by the layouts that ToKvArgs draws.
std::vector<float> dequantized_keys(Format format, const std::vector<uint8_t>& block,
                                    size_t head_dim) {
  const size_t bytes = 16 * format_info(format).block_bytes;
  std::vector<float> keys(NIBBLE_KEY_BLOCK * head_dim);  // [key][d]
  for (size_t j = 0; j < NIBBLE_KEY_BLOCK; ++j) {
    for (size_t d = 0; d < head_dim; ++d) {
      const uint8_t* at = &block[(j / 16 * head_dim + d) / 32 * bytes];
      uint16_t scale;
      std::memcpy(&scale, at + j % 16 * 2, 2);
      const size_t i = d % 32;
      const int q = format == Format::kQ8_0
                        ? static_cast<int8_t>(at[32 + i * 16 + j % 16])
                        : (at[32 + i % 16 * 16 + j % 16] >> (i < 16 ? 0 : 4) & 15) - 8;
      keys[j * head_dim + d] = static_cast<float>(q) * f32_from_f16(scale);
    }
  }
  return keys;
}

// Attention over a quantised cache is attention over an f32 cache of the numbers it holds, and
// those are the nearest of their blocks' grids.
TEST(ScalarAttention, QuantizedCacheHoldsFloats) {
  const size_t head_dim = 64, floats = NIBBLE_KEY_BLOCK * head_dim;
  const std::vector<float> k = make_floats(floats, Flavour::kPlain, 21);
  const std::vector<float> v = make_floats(floats, Flavour::kPlain, 22);
  const std::vector<float> q = make_floats(head_dim, Flavour::kPlain, 23);
  for (const Format format : {Format::kQ8_0, Format::kQ4_0}) {
    const size_t bytes = NIBBLE_KEY_BLOCK * row_bytes(format, head_dim);
    std::vector<uint8_t> k_block(bytes), v_block(bytes);
    std::vector<float> k_floats(floats), v_floats(floats), out(head_dim), want(head_dim);
    const auto put = [&](Format f, size_t slot, const float* key, const float* value, void* keys,
                         void* values) {
      const ToKvArgs args = {key, value, keys, values, slot, head_dim};
      scalar(Op::kToKv, f).fn.to_kv(&args);
    };
    for (size_t j = 0; j < NIBBLE_KEY_BLOCK; ++j) {
      put(format, j, &k[j * head_dim], &v[j * head_dim], k_block.data(), v_block.data());
    }
    const std::vector<float> keys = dequantized_keys(format, k_block, head_dim);
    std::vector<float> values(floats);
    const DequantizeArgs read = {v_block.data(), values.data(), floats};
    scalar(Op::kDequantizeRow, format).fn.dequantize(&read);
    // Half a step of a block whose largest is 4 (Q4_0, which ends at 7: a whole one) and the
    // rounding of its scale to a half.
    const double bound = (format == Format::kQ8_0 ? 4.0 / 127 / 2 : 4.0 / 8) + 4.0 / 2048;
    for (size_t i = 0; i < floats; ++i) {
      ASSERT_NEAR(keys[i], k[i], bound);
      ASSERT_NEAR(values[i], v[i], bound);
    }
    for (size_t j = 0; j < NIBBLE_KEY_BLOCK; ++j) {
      put(Format::kF32, j, &keys[j * head_dim], &values[j * head_dim], k_floats.data(),
          v_floats.data());
    }
    const int32_t begin = 3, end = 126;
    const auto attend = [&](Format f, const void* key, const void* value, float* result) {
      float max = -INFINITY, sum = 0;
      const AttendArgs args = {q.data(), head_dim, key,      value, &begin,   &end, &max,
                               &sum,     result,   head_dim, 1,     head_dim, 0.0f};
      scalar(Op::kAttend, f).fn.attend(&args);
      return sum;
    };
    const float sum = attend(format, k_block.data(), v_block.data(), out.data());
    EXPECT_EQ(sum, attend(Format::kF32, k_floats.data(), v_floats.data(), want.data()));
    EXPECT_EQ(out, want);
  }
}

// One query over two blocks of keys, as the caller runs it: block after block into one state, or
// each block into its own and then a merge. Both against softmax in double precision.
TEST(ScalarAttention, AgreesWithDoublePrecision) {
  for (size_t head_dim : {8, 64, 256}) {
    for (float softcap : {0.0f, 4.0f}) {
      const size_t positions = 2 * NIBBLE_KEY_BLOCK;
      const int32_t begin = 11, end = 121;  // in each block
      std::vector<float> q = make_floats(head_dim, Flavour::kPlain, 11);
      for (float& value : q) value /= std::sqrt(static_cast<float>(head_dim));
      const std::vector<float> k = make_floats(positions * head_dim, Flavour::kPlain, 12);
      const std::vector<float> v = make_floats(positions * head_dim, Flavour::kPlain, 13);
      std::vector<float> k_cache(positions * head_dim), v_cache = k_cache;
      const size_t block_size = NIBBLE_KEY_BLOCK * head_dim;
      for (size_t j = 0; j < positions; ++j) {
        const size_t block = j / NIBBLE_KEY_BLOCK * block_size;
        const ToKvArgs args = {.k = &k[j * head_dim],
                               .v = &v[j * head_dim],
                               .k_block = &k_cache[block],
                               .v_block = &v_cache[block],
                               .slot = j % NIBBLE_KEY_BLOCK,
                               .head_dim = head_dim};
        scalar(Op::kToKv).fn.to_kv(&args);
      }
      struct State {
        float max = -INFINITY, sum = 0;
        std::vector<float> out;
      };
      const auto attend = [&](size_t block, State* state) {
        const AttendArgs args = {.q = q.data(),
                                 .q_stride = head_dim,
                                 .k_block = &k_cache[block * block_size],
                                 .v_block = &v_cache[block * block_size],
                                 .begin = &begin,
                                 .end = &end,
                                 .max = &state->max,
                                 .sum = &state->sum,
                                 .out = state->out.data(),
                                 .out_stride = head_dim,
                                 .rows = 1,
                                 .head_dim = head_dim,
                                 .softcap = softcap};
        scalar(Op::kAttend).fn.attend(&args);
      };
      const auto merge = [&](State* a, const State& b) {
        const AttendMergeArgs args = {.max = &a->max,
                                      .sum = &a->sum,
                                      .out = a->out.data(),
                                      .other_max = &b.max,
                                      .other_sum = &b.sum,
                                      .other_out = b.out.data(),
                                      .head_dim = head_dim};
        scalar(Op::kAttendMerge).fn.merge(&args);
      };
      State fresh;
      fresh.out.assign(head_dim, 0.0f);
      State chained = fresh, first = fresh, second = fresh;
      attend(0, &chained);
      attend(1, &chained);
      attend(0, &first);
      attend(1, &second);
      merge(&first, second);
      merge(&first, fresh);  // nothing to add
      State from_empty = fresh;
      merge(&from_empty, first);

      std::vector<double> terms(head_dim), magnitudes(head_dim);
      double total = 0, score_error = 0, spread = 0;
      for (size_t j = 0; j < positions; ++j) {
        double score = 0, magnitude = 0;
        for (size_t d = 0; d < head_dim; ++d) {
          score += static_cast<double>(q[d]) * k[j * head_dim + d];
          magnitude += std::abs(static_cast<double>(q[d]) * k[j * head_dim + d]);
        }
        if (softcap != 0) score = softcap * std::tanh(score / softcap);
        const int32_t slot = static_cast<int32_t>(j % NIBBLE_KEY_BLOCK);
        if (slot < begin || slot >= end) continue;
        score_error = std::max(score_error, static_cast<double>(head_dim) * kU * magnitude);
        spread = std::max(spread, std::abs(score));
        const double p = std::exp(score);
        total += p;
        for (size_t d = 0; d < head_dim; ++d) {
          terms[d] += p * v[j * head_dim + d];
          magnitudes[d] += p * std::abs(v[j * head_dim + d]);
        }
      }
      // Relative error of a weight: its score's (soft-cap: 10 roundings of it), the subtraction of
      // the maximum, twice for two levels of maxima, and 2 u for each of two exponentials.
      const double weight = score_error + (10 + 4) * kU * spread + 4 * kU;
      // In the quotient out / sum weights come twice; 128 fma's a block and 12 for the merges.
      const double relative = 2 * weight + (NIBBLE_KEY_BLOCK + 12) * kU;
      for (const State* state : {&chained, &first, &from_empty}) {
        EXPECT_NEAR(state->max + std::log(static_cast<double>(state->sum)), std::log(total),
                    relative);
        for (size_t d = 0; d < head_dim; ++d) {
          ASSERT_NEAR(static_cast<double>(state->out[d]) / state->sum, terms[d] / total,
                      relative * magnitudes[d] / total)
              << head_dim << " " << d;
        }
      }
    }
  }
}

TEST(ScalarAttention, MergeOfEmptyStatesStaysEmpty) {
  float max = -INFINITY, sum = 0, out = 0;
  const float other_max = -INFINITY, other_sum = 0, other_out = 0;
  const AttendMergeArgs args = {.max = &max,
                                .sum = &sum,
                                .out = &out,
                                .other_max = &other_max,
                                .other_sum = &other_sum,
                                .other_out = &other_out,
                                .head_dim = 1};
  scalar(Op::kAttendMerge).fn.merge(&args);
  EXPECT_EQ(max, -INFINITY);
  EXPECT_EQ(sum, 0.0f);
  EXPECT_EQ(out, 0.0f);
}

}  // namespace
}  // namespace nibble
