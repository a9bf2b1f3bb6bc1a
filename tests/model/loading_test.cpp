// A model that is loaded beside others lets their steps come between.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "runtime/engine_impl.h"
#include "runtime/weights.h"

namespace nibble {
namespace {

TEST(Loading, OthersHaveTheirTurnBetween) {
  auto engine = Engine::create({.threads = 2, .isa = ""});
  ASSERT_TRUE(engine) << engine.error().message;
  std::thread other;
  std::atomic<bool> had_it{false};
  int matrices = 0;
  LoadOptions options;
  options.progress = [&](double) {
    if (++matrices == 1) {
      EXPECT_FALSE(had_it);
      other = std::thread([&] {
        const std::lock_guard turn((*engine)->impl().regions);
        had_it = true;
      });
      std::this_thread::sleep_for(std::chrono::milliseconds(200));  // it asks
      EXPECT_FALSE(had_it);
    } else if (matrices == 2) {
      EXPECT_TRUE(had_it);
    }
    return true;
  };
  const auto model =
      Model::load(*engine, NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf", options);
  ASSERT_TRUE(model) << model.error().message;
  other.join();
  EXPECT_GT(matrices, 2);
}

TEST(Loading, SlicesAreAllRowsOnce) {
  for (const int threads : {1, 2, 3}) {
    auto team = ThreadTeam::create(threads);
    ASSERT_TRUE(team);
    constexpr size_t kRows = 1000;
    constexpr size_t kUnit = 16;
    std::vector<std::atomic<int>> seen(kRows);
    int regions = 0;
    in_slices(
        **team, kRows, kUnit, kSliceBytes / 64, [&] { ++regions; },
        [&](Range rows) {
          EXPECT_EQ(rows.begin % kUnit, 0u);
          EXPECT_LE(rows.end - rows.begin, 64u);
          for (size_t row = rows.begin; row < rows.end; ++row) ++seen[row];
        });
    for (const auto& times : seen) EXPECT_EQ(times, 1);
    EXPECT_GE(regions, static_cast<int>(kRows) / 64 / threads);
  }
}

}  // namespace
}  // namespace nibble
