// The team's promises: who runs what, what is seen when, how long, and that idle means idle.
#include "runtime/machine/thread_team.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <limits>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include "runtime/machine/memory.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

std::unique_ptr<ThreadTeam> make_team(int threads) {
  auto team = ThreadTeam::create(threads);
  EXPECT_TRUE(team.ok());
  EXPECT_EQ((*team)->size(), threads);
  EXPECT_TRUE((*team)->notes().empty()) << (*team)->notes().front();
  return std::move(team).value();
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST(SplitRange, IsContiguousDisjointCoveringAndEven) {
  for (const size_t count : {0, 1, 7, 8, 15, 16, 17, 100, 1152, 262144}) {
    for (const size_t unit : {1, 3, 8, 16}) {
      for (const int parts : {1, 2, 3, 4, 7, 64}) {
        size_t expected_begin = 0;
        size_t most = 0;
        size_t least = std::numeric_limits<size_t>::max();
        for (int i = 0; i < parts; ++i) {
          const Range range = split_range(count, unit, i, parts);
          ASSERT_EQ(range.begin, expected_begin);
          ASSERT_LE(range.begin, range.end);
          ASSERT_TRUE(range.empty() || range.begin % unit == 0);
          expected_begin = range.end;
          const size_t units = (range.end - range.begin + unit - 1) / unit;
          most = std::max(most, units);
          least = std::min(least, units);
        }
        ASSERT_EQ(expected_begin, count);
        ASSERT_LE(most - least, 1u) << count << " " << unit << " " << parts;
      }
    }
  }
}

TEST(SplitRange, DoesNotWrapAtTheLargestCount) {
  constexpr size_t kMax = std::numeric_limits<size_t>::max();
  EXPECT_EQ(split_range(kMax, 16, 0, 2).end, split_range(kMax, 16, 1, 2).begin);
  EXPECT_EQ(split_range(kMax, 16, 1, 2).end, kMax);
}

TEST(ThreadTeamTest, RefusesImpossibleSizes) {
  for (const int threads : {0, -1, 1025, std::numeric_limits<int>::max()}) {
    auto team = ThreadTeam::create(threads);
    ASSERT_FALSE(team.ok());
    EXPECT_EQ(team.error().code, ErrorCode::kUsage);
    EXPECT_NE(team.error().message.find("1 to 1024"), std::string::npos);
  }
}

class ThreadTeamSizes : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, ThreadTeamSizes, testing::Values(1, 2, 3, 4, 8));

TEST_P(ThreadTeamSizes, RunsEveryWorkerAtTheSameTimeOnItsOwnThread) {
  const int size = GetParam();
  auto team = make_team(size);
  std::vector<std::thread::id> threads(static_cast<size_t>(size));
  std::atomic<int> inside{0};
  team->run([&](int worker) {
    threads[static_cast<size_t>(worker)] = std::this_thread::get_id();
    ++inside;
    while (inside < size) std::this_thread::yield();  // hangs unless all are there together
  });
  EXPECT_EQ(threads[0], std::this_thread::get_id());
  const std::vector<std::thread::id> first = threads;
  EXPECT_EQ(std::set<std::thread::id>(first.begin(), first.end()).size(), first.size());
  team->run([&](int worker) { threads[static_cast<size_t>(worker)] = std::this_thread::get_id(); });
  EXPECT_EQ(threads, first) << "a worker keeps its thread";
}

// Plain memory, handed round: worker w adds to its neighbour's value of the last region, which only
// works out if each region sees all of the one before. TSan watches the same accesses.
TEST_P(ThreadTeamSizes, SeesEverythingWrittenBeforeInOrder) {
  const auto size = static_cast<size_t>(GetParam());
  auto team = make_team(GetParam());
  constexpr uint64_t kRegions = 100'000;
  constexpr uint64_t kFewestRegions = 2'000;
  const auto limit = Clock::now() + std::chrono::seconds(5);  // a busy machine may do fewer
  uint64_t regions = 0;
  std::vector<uint64_t> from(size);
  std::vector<uint64_t> to(size);
  std::iota(from.begin(), from.end(), 0);
  while (regions < kFewestRegions || (regions < kRegions && Clock::now() < limit)) {
    const uint64_t region = ++regions;
    team->run([&](int worker) {
      const auto w = static_cast<size_t>(worker);
      to[w] = from[(w + 1) % size] + region;
    });
    std::swap(from, to);  // by the caller, between regions
    if (region % 4096 == 0) team->rest();
  }
  for (size_t w = 0; w < size; ++w) {
    EXPECT_EQ(from[w], (w + regions) % size + regions * (regions + 1) / 2);
  }
}

TEST_P(ThreadTeamSizes, HandsOutEveryItemOnceInFixedPieces) {
  auto team = make_team(GetParam());
  for (const size_t count : {0, 1, 31, 32, 33, 1000, 4096}) {
    for (const size_t unit : {1, 32, 5000}) {
      std::vector<std::atomic<int>> seen(count);
      std::atomic<int> bad{0};
      team->run_dynamic(count, unit, [&](Range range, int worker) {
        const bool whole = range.end == count || range.end - range.begin == unit;
        if (range.begin % unit != 0 || !whole || range.empty()) ++bad;
        if (worker < 0 || worker >= team->size()) ++bad;
        for (size_t i = range.begin; i < range.end; ++i) ++seen[i];
      });
      EXPECT_EQ(bad, 0);
      for (size_t i = 0; i < count; ++i) ASSERT_EQ(seen[i], 1) << i << " of " << count;
    }
  }
}

TEST_P(ThreadTeamSizes, IdleUsesNoCpu) {
  auto team = make_team(GetParam());
  team->run([](int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // spins out
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(cpu_seconds() - before, 0.02 * 0.2);
  std::atomic<int> ran{0};
  team->run([&](int) { ++ran; });
  EXPECT_EQ(ran, GetParam()) << "sleepers wake";
}

TEST(ThreadTeamTest, RestEndsSpinningAtOnce) {
  auto team = make_team(2);
  std::atomic<int> ran{0};
  const double before = cpu_seconds();
  const auto start = Clock::now();
  for (int i = 0; i < 200; ++i) {
    team->run([&](int) { ++ran; });
    team->rest();
    team->rest();  // twice is as once
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const double wall = std::chrono::duration<double>(Clock::now() - start).count();
  EXPECT_EQ(ran, 400);
  // Without rest() each round spins for 80 us of its 1.1 ms.
  EXPECT_LT(cpu_seconds() - before, 0.06 * wall);
}

TEST(ThreadTeamTest, LivesAgainAndAgain) {
  for (int i = 0; i < 50; ++i) {
    auto team = make_team(1 + i % 4);
    std::atomic<int> ran{0};
    team->run([&](int) { ++ran; });
    EXPECT_EQ(ran, team->size());
  }
}

TEST(ThreadTeamTest, TeamsLiveSideBySide) {
  auto first = make_team(3);
  auto second = make_team(2);
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) {
    first->run([&](int) { ++ran; });
    second->run([&](int) { ++ran; });
  }
  EXPECT_EQ(ran, 500);
}

TEST(ThreadTeamTest, MayBeCalledFromAnotherThreadThanItsMaker) {
  auto team = make_team(2);
  std::atomic<int> ran{0};
  std::thread([&] { team->run([&](int) { ++ran; }); }).join();
  team->run([&](int) { ++ran; });
  EXPECT_EQ(ran, 4);
}

TEST(ThreadTeamTest, LeavesTheCallersAffinityAlone) {
  cpu_set_t before;
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  {
    auto team = make_team(2);
    team->run([](int) {});
    ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
    EXPECT_TRUE(CPU_EQUAL(&before, &after));
  }
  ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

// Runs in a child: room for some of 40 thread stacks only.
[[noreturn]] void make_a_team_without_room() {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit{};
  limit.rlim_cur = limit.rlim_max = pages * page_size_bytes() + (size_t{100} << 20);
  setrlimit(RLIMIT_AS, &limit);
  auto team = ThreadTeam::create(40);
  if (!team.ok()) _exit(1);
  std::atomic<int> ran{0};
  (*team)->run([&](int) { ++ran; });
  const bool noted = (*team)->notes().size() == 1;
  _exit((*team)->size() < 40 && ran == (*team)->size() && noted ? 0 : 2);
}

TEST(ThreadTeamDeathTest, IsSmallerWhereTheSystemGivesFewerThreads) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(make_a_team_without_room(), testing::ExitedWithCode(0), "");
}

// Time of regions of ~100 us of divisible work.
double seconds_per_region(ThreadTeam& team) {
  constexpr int kRegions = 50;
  constexpr uint64_t kSteps = 200'000;
  std::atomic<uint64_t> sink{0};
  const auto start = Clock::now();
  for (int i = 0; i < kRegions; ++i) {
    team.run([&](int worker) {
      const Range range = split_range(kSteps, 1, worker, team.size());
      uint64_t x = 1;
      for (size_t j = range.begin; j < range.end; ++j) x = x * 6364136223846793005u + j;
      sink.fetch_add(x, std::memory_order_relaxed);
    });
  }
  return std::chrono::duration<double>(Clock::now() - start).count() / kRegions;
}

TEST(ThreadTeamTest, TwiceAsManyThreadsAsCpusDoNotCollapse) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  const int cpus = CPU_COUNT(&set);
  if (cpus > 64) GTEST_SKIP() << "too many CPUs to oversubscribe";
  auto fitting = make_team(cpus);
  auto twice = make_team(2 * cpus);
  std::vector<double> ratios;
  for (int round = 0; round < 9; ++round) {
    const double base = seconds_per_region(*fitting);
    fitting->rest();
    ratios.push_back(seconds_per_region(*twice) / base);
  }
  std::sort(ratios.begin(), ratios.end());
  RecordProperty("median_ratio", std::to_string(ratios[4]));
  std::printf("oversubscribed / fitting: best %.2f median %.2f worst %.2f\n", ratios.front(),
              ratios[4], ratios.back());
  EXPECT_LT(ratios[4], 4) << "1.5 on a quiet machine; a spinning team would need 50";
}

#if defined(__x86_64__)
TEST(ThreadTeamTest, ComputesInTheDefaultFloatModeWhateverTheCallersIs) {
  constexpr unsigned kFlushAndDenormalsAreZero = 0x8040;
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | kFlushAndDenormalsAreZero);
  {
    auto team = make_team(3);
    std::vector<float> halves(3);
    volatile float denormal = std::numeric_limits<float>::denorm_min() * 8;
    team->run([&](int worker) { halves[static_cast<size_t>(worker)] = denormal * 0.5f; });
    EXPECT_EQ(_mm_getcsr() & kFlushAndDenormalsAreZero, kFlushAndDenormalsAreZero)
        << "the caller's mode comes back";
    _mm_setcsr(before);
    for (const float half : halves) EXPECT_GT(half, 0.0f);
  }
  _mm_setcsr(before);
}
#endif

TEST(ThreadTeamDeathTest, RefusesARegionInsideARegion) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        auto team = ThreadTeam::create(1);
        (*team)->run([&](int) { (*team)->run([](int) {}); });
      },
      "internal error: !impl_->busy");
}

}  // namespace
}  // namespace nibble
