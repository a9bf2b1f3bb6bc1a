// What is chosen of trials that are made up; and that the trials themselves run.
#include "runtime/tuning.h"

#include <gtest/gtest.h>

#include <set>

namespace nibble {
namespace {

TEST(Tuning, TakesTheFewestThreadsThatAreAsGood) {
  // A Raspberry Pi 5: two threads read as fast as memory can.
  const std::vector<TuneTrial> trials = {{"dotprod", 1, 9.3, 60},
                                         {"dotprod", 2, 13.2, 120},
                                         {"dotprod", 3, 13.4, 180},
                                         {"dotprod", 4, 11.6, 230}};
  const TuneChoice choice = choose_tuning(trials, 4);
  EXPECT_EQ(choice.threads, 2);
  EXPECT_EQ(choice.prompt_threads, 4);
  EXPECT_EQ(choice.isa, "");
}

TEST(Tuning, AnotherLevelMustBeFasterBeyondNoise) {
  std::vector<TuneTrial> trials = {{"avx512vnni", 1, 20, 100},
                                   {"avx512vnni", 2, 30, 200},
                                   {"avx2", 1, 21, 100},
                                   {"avx2", 2, 31, 208}};
  EXPECT_EQ(choose_tuning(trials, 2).isa, "");
  trials[3].prompt_gmac_per_s = 230;
  EXPECT_EQ(choose_tuning(trials, 2).isa, "avx2");
  EXPECT_EQ(choose_tuning(trials, 2).threads, 2);
  EXPECT_EQ(choose_tuning({}, 2).threads, 0);
}

// The second core was busy with something else.
TEST(Tuning, NoiseDoesNotCostTheUsualThreads) {
  const std::vector<TuneTrial> trials = {{"avx512vnni", 1, 29.2, 323},
                                         {"avx512vnni", 2, 29.3, 315}};
  EXPECT_EQ(choose_tuning(trials, 2).threads, 2);
  EXPECT_EQ(choose_tuning(trials, 2).prompt_threads, 2);
}

TEST(Tuning, ThreadCountsAreFewAndWithinWhatMayBeUsed) {
  Topology topology;
  for (int i = 0; i < 128; ++i) topology.cpus.push_back({i, i / 2, 0, 0, 0});
  topology.cores = 64;
  topology.node_ids = {0};
  topology.kind_speeds = {1};
  EXPECT_EQ(tune_thread_counts(topology), (std::vector<int>{1, 2, 3, 4, 8, 16, 32, 64, 128}));
  topology.cpu_quota = 6.5;
  EXPECT_EQ(tune_thread_counts(topology), (std::vector<int>{1, 2, 3, 4, 6}));
  topology.cpus.resize(1);
  topology.cores = 1;
  topology.cpu_quota = 0;
  EXPECT_EQ(tune_thread_counts(topology), std::vector<int>{1});
}

TEST(Tuning, TrialsOfThisMachine) {
  Topology topology = detect_topology();
  topology.cpus.resize(1);
  topology.cores = 1;
  topology.cpu_quota = 0;
  const auto trials = run_tune_trials(topology, detect_cpu_features(), [] { return true; });
  ASSERT_TRUE(trials) << trials.error().message;
  ASSERT_FALSE(trials->empty());
  EXPECT_LE(trials->size(), 3u);
  std::set<std::string> levels;
  for (const TuneTrial& trial : *trials) {
    EXPECT_TRUE(levels.insert(trial.isa).second) << trial.isa;
    EXPECT_EQ(trial.threads, 1);
    EXPECT_GT(trial.decode_gb_per_s, 0);
    EXPECT_GT(trial.prompt_gmac_per_s, 0);
  }
  const auto stopped = run_tune_trials(topology, detect_cpu_features(), [] { return false; });
  ASSERT_TRUE(stopped);
  EXPECT_TRUE(stopped->empty());
}

}  // namespace
}  // namespace nibble
