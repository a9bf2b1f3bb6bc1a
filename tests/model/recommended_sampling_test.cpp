// Sampling where the user says nothing: what the file recommends (general.sampling.*), and for the
// rest what the family's publisher does. Each case edits the built-in model, a Gemma.
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <limits>

#include "nibble/nibble.h"
#include "tests/model/edited_model.h"

namespace nibble {
namespace {

SamplingOptions recommended(const std::function<void(EditedModel&)>& edit) {
  EditedModel edited = read_model();
  edit(edited);
  const std::string path =
      testing::TempDir() + "nibble-sampling-" + std::to_string(getpid()) + ".gguf";
  write_model(edited, path);
  auto engine = Engine::create({.threads = 1, .isa = ""});
  EXPECT_TRUE(engine);
  const auto model = Model::load(*engine, path);
  unlink(path.c_str());
  EXPECT_TRUE(model) << model.error().message;
  return model ? recommended_sampling(**model) : SamplingOptions();
}

TEST(RecommendedSamplingTest, OfTheFamilyWhereTheFileSaysNothing) {
  const SamplingOptions options = recommended([](EditedModel&) {});
  EXPECT_EQ(options.temperature, 1.0f);
  EXPECT_EQ(options.top_k, 64);
  EXPECT_EQ(options.top_p, 0.95f);
  EXPECT_EQ(options.min_p, 0.0f);
}

TEST(RecommendedSamplingTest, OfTheFile) {
  const SamplingOptions all = recommended([](EditedModel& m) {
    m.set_float("general.sampling.temp", 0.25);
    m.set("general.sampling.top_k", {GgufType::kInt32, int64_t{17}});
    m.set_float("general.sampling.top_p", 0.5);
    m.set_float("general.sampling.min_p", 0.125);
  });
  EXPECT_EQ(all.temperature, 0.25f);
  EXPECT_EQ(all.top_k, 17);
  EXPECT_EQ(all.top_p, 0.5f);
  EXPECT_EQ(all.min_p, 0.125f);
  // One key changes one setting; 0 is greedy, and all tokens.
  const SamplingOptions some = recommended([](EditedModel& m) {
    m.set_float("general.sampling.temp", 0);
    m.set_uint("general.sampling.top_k", 0);
  });
  EXPECT_EQ(some.temperature, 0.0f);
  EXPECT_EQ(some.top_k, 0);
  EXPECT_EQ(some.top_p, 0.95f);
}

TEST(RecommendedSamplingTest, WhatIsOutOfRangeIsLeftAlone) {
  const SamplingOptions options = recommended([](EditedModel& m) {
    m.set_float("general.sampling.temp", std::numeric_limits<double>::quiet_NaN());
    m.set("general.sampling.top_k", {GgufType::kInt32, int64_t{-1}});
    m.set_float("general.sampling.top_p", 1.5);
    m.set("general.sampling.min_p", {GgufType::kString, std::string("a little")});
  });
  EXPECT_EQ(options.temperature, 1.0f);
  EXPECT_EQ(options.top_k, 64);
  EXPECT_EQ(options.top_p, 0.95f);
  EXPECT_EQ(options.min_p, 0.0f);
}

}  // namespace
}  // namespace nibble
