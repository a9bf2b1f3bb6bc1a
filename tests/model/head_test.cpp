// The screened head against the full one: the largest logits must be the same, bit for bit.
#include "runtime/ops/head.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "nibble/batch.h"
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

// Rows that are asked for one by one are those of the whole product.
TEST(HeadTest, RowsByThemselvesAreExact) {
  auto engine = Engine::create({.threads = 2, .isa = ""});
  ASSERT_TRUE(engine);
  auto model = Model::load(*engine, kModel);
  ASSERT_TRUE(model);
  const OutputHead& head = (*model)->impl().network.head();
  auto scratch = OpsScratch::create({1, head.exact.k, 1, 32, 128});
  ASSERT_TRUE(scratch);
  Ops ops(*(*engine)->impl().team, (*engine)->impl().kernels, *scratch);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(head.exact.k);
  for (float& value : x) value = normal(random);
  std::vector<float> full(head.exact.n);
  ops.matmul({x.data(), 1, x.size(), x.size()},
             {{&head.exact, Rows{full.data(), 1, full.size(), full.size()}}});
  const std::vector<int32_t> ids = {0, 1, 7, 500, static_cast<int32_t>(full.size()) - 1};
  std::vector<float> some(ids.size());
  ops.exact_head(head, x.data(), ids, some);
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(some[i], full[static_cast<size_t>(ids[i])]);
}

// Answers held to what the model would hardly say: often none of the likeliest tokens is allowed.
TEST(HeadTest, AHeldAnswerIsTheSameWithAndWithoutScreen) {
  auto engine = Engine::create({.threads = 2, .isa = ""});
  ASSERT_TRUE(engine);
  const auto load = [&](bool screened) {
    auto model = Model::load(*engine, kModel);
    EXPECT_TRUE(model);
    Model::Impl& impl = (*model)->impl();
    if (screened) {
      EXPECT_TRUE(impl.network.head().build_screen((*engine)->impl().kernels,
                                                   *(*engine)->impl().team, impl.file, 0));
    }
    auto batch = Batch::create(*model, {.context = 256, .sequences = 4});
    EXPECT_TRUE(batch);
    return std::move(*batch);
  };
  const auto answers = [&](Batch& batch, const std::string& gbnf, uint64_t first_seed,
                           float temperature, float penalty) {
    auto grammar = parse_grammar(gbnf);
    EXPECT_TRUE(grammar);
    std::vector<std::vector<int32_t>> tokens(4);
    const std::vector<int32_t> prompt = {2, 400, 401, 402, 403};
    for (size_t i = 0; i < tokens.size(); ++i) {
      GenerateOptions options;
      options.sampling.seed = first_seed + i;
      options.sampling.temperature = temperature;
      options.sampling.repeat_penalty = penalty;
      options.max_tokens = 12;
      const auto added = batch.add(
          prompt, options, nullptr,
          [&tokens, i](Result<Completion> done) {
            EXPECT_TRUE(done) << done.error().message;
            if (done) tokens[i] = done->tokens;
          },
          *grammar);
      EXPECT_TRUE(added);
    }
    while (batch.step()) {
    }
    return tokens;
  };
  const auto screened = load(true);
  const auto exact = load(false);
  for (const char* gbnf : {"root ::= [0-9A-Z;:%#=<>]{6,40}", "root ::= [^a-zA-Z .,!\\x22]{4,40}"}) {
    for (const float penalty : {1.0f, 1.3f}) {
      for (uint64_t seed = 1; seed < 60; seed += 4) {
        const float temperature = seed == 1 ? 0.0f : 1.5f;
        EXPECT_EQ(answers(*screened, gbnf, seed, temperature, penalty),
                  answers(*exact, gbnf, seed, temperature, penalty))
            << gbnf << " seed " << seed;
      }
    }
  }
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
