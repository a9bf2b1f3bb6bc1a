// The built-in model against the results that an independent runtime recorded for it.
#include "tests/model/golden.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

const char* const kModel = NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf";
const char* const kGolden = NIBBLE_SOURCE_DIR "/tests/golden/stories-gemma3-qat-q4_0.json";

TEST(GoldenTest, BuiltInModelAgreesWithTheRecord) {
  auto engine = Engine::create({.threads = 2, .isa = ""});
  ASSERT_TRUE(engine);
  auto model = Model::load(*engine, kModel);
  ASSERT_TRUE(model) << model.error().message;
  auto session = Session::create(*model, {});
  ASSERT_TRUE(session) << session.error().message;
  for (const GoldenRun& run : read_golden(kGolden)) {
    const Deviation d = compare(**session, **model, run, -5);
    // Both quantise activations to int8 in blocks of 32, each rounding in its own way. The record's
    // own runtime differs by 0.059 from itself when its attention takes the other of its two ways.
    EXPECT_LT(d.worst, 0.06) << run.prompt;
    EXPECT_LT(d.greedy_gap, 0.05) << run.prompt << ": " << d.different_greedy << " ids differ";
    EXPECT_GT(d.compared, run.steps.size());
    RecordProperty("worst", std::to_string(d.worst));
    std::printf("%-40.40s worst %.5f, %d of %zu greedy ids differ (gap %.4f)\n", run.prompt.c_str(),
                d.worst, d.different_greedy, run.steps.size(), d.greedy_gap);
  }
}

}  // namespace
}  // namespace nibble
