// The screened head against the full one: the largest logits must be the same, bit for bit.
#include "runtime/ops/head.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "nibble/nibble.h"
#include "runtime/engine_impl.h"
#include "runtime/model_impl.h"
#include "runtime/ops/ops.h"

namespace nibble {
namespace {

const char* const kModel = NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf";

std::vector<size_t> best(const std::vector<float>& logits, size_t count) {
  std::vector<size_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end(),
                    [&](size_t a, size_t b) {
                      return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
                    });
  ids.resize(count);
  return ids;
}

class HeadTest : public testing::TestWithParam<size_t> {};

// Rows of very different norms, as embeddings have them.
TEST_P(HeadTest, TheBestAreExact) {
  const size_t top = GetParam();
  constexpr size_t kRows = 5003;
  constexpr size_t kDepth = 288;
  std::mt19937 random(top);
  std::normal_distribution<float> normal;
  std::vector<float> weights(kRows * kDepth);
  for (size_t i = 0; i < kRows; ++i) {
    const float norm = std::exp(normal(random));
    for (size_t j = 0; j < kDepth; ++j) weights[i * kDepth + j] = norm * normal(random);
  }
  const auto file = GgufFile::open(kModel);  // the weights are not in it: nothing to let go of
  ASSERT_TRUE(file);
  auto team = ThreadTeam::create(2);
  ASSERT_TRUE(team);
  const KernelSet kernels(detect_cpu_features());
  auto scratch = OpsScratch::create({1, kDepth, 1, 32, 128});
  ASSERT_TRUE(scratch);
  Ops ops(**team, kernels, *scratch);
  OutputHead head;
  head.exact = {
      &kernels.entry(Op::kMatmul, Format::kF32),        Format::kF32,          kRows, kDepth,
      reinterpret_cast<const uint8_t*>(weights.data()), kDepth * sizeof(float)};
  ASSERT_TRUE(head.build_screen(kernels, **team, *file, 0));
  ASSERT_TRUE(head.has_screen());

  std::vector<float> x(kDepth);
  std::vector<float> full(kRows);
  std::vector<float> screened(kRows);
  const Rows input{x.data(), 1, kDepth, kDepth};
  for (int round = 0; round < 200; ++round) {
    for (float& value : x) value = normal(random);
    ops.matmul(input, {{&head.exact, Rows{full.data(), 1, kRows, kRows}}});
    ops.screened_head(head, input, top, Rows{screened.data(), 1, kRows, kRows});
    const auto ids = best(full, top);
    ASSERT_EQ(best(screened, top), ids) << "round " << round;
    for (const size_t id : ids) ASSERT_EQ(screened[id], full[id]);
    EXPECT_GE(ops.exact_head_rows(), top);
    EXPECT_LT(ops.exact_head_rows(), kRows / 2);
  }
}

INSTANTIATE_TEST_SUITE_P(Tops, HeadTest, testing::Values(1, 40, 64));

TEST(HeadTest, ARowThatIsNotFiniteIsNamed) {
  std::vector<float> weights(100 * 32, 0.5f);
  weights[42 * 32 + 7] = NAN;
  const auto file = GgufFile::open(kModel);  // the weights are not in it: nothing to let go of
  ASSERT_TRUE(file);
  auto team = ThreadTeam::create(2);
  const KernelSet kernels(detect_cpu_features());
  OutputHead head;
  head.exact = {&kernels.entry(Op::kMatmul, Format::kF32),        Format::kF32,      100, 32,
                reinterpret_cast<const uint8_t*>(weights.data()), 32 * sizeof(float)};
  const auto built = head.build_screen(kernels, **team, *file, 0);
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code, ErrorCode::kData);
  EXPECT_NE(built.error().message.find("row 42"), std::string::npos);
}

// The story model's own head on its own text: greedy and sampled answers must be the same.
TEST(HeadTest, AStoryIsTheSameWithAndWithoutScreen) {
  auto engine = Engine::create({.threads = 2, .isa = ""});
  ASSERT_TRUE(engine);
  const auto story = [&](bool screened, const SamplingOptions& sampling) {
    auto model = Model::load(*engine, kModel);
    Model::Impl& impl = (*model)->impl();
    if (screened) {
      EXPECT_TRUE(impl.network.head().build_screen((*engine)->impl().kernels,
                                                   *(*engine)->impl().team, impl.file, 0));
    }
    auto session = Session::create(*model, {});
    GenerateOptions options;
    options.sampling = sampling;
    options.max_tokens = 150;
    options.ignore_end = true;
    const auto done = (*session)->complete("Once upon a time", options);
    EXPECT_TRUE(done);
    EXPECT_EQ(done->stats.head_rows > 0, screened);
    return done->tokens;
  };
  SamplingOptions sampling;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    sampling.seed = seed;
    EXPECT_EQ(story(true, sampling), story(false, sampling)) << "seed " << seed;
  }
  sampling.repeat_penalty = 1.3f;
  EXPECT_EQ(story(true, sampling), story(false, sampling));
  sampling = {};
  sampling.temperature = 0;
  EXPECT_EQ(story(true, sampling), story(false, sampling));
}

}  // namespace
}  // namespace nibble
