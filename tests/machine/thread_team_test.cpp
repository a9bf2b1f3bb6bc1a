// The team's promises: who runs what, what is seen when, how long, and that idle means idle.
#include "runtime/machine/thread_team.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <limits>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include "runtime/machine/fork_join.h"
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
  const auto threads_together = [&] {
    std::vector<std::thread::id> threads(static_cast<size_t>(size));
    std::atomic<int> inside{0};
    team->run([&](int worker) {
      threads[static_cast<size_t>(worker)] = std::this_thread::get_id();
      ++inside;
      while (inside < size) std::this_thread::yield();  // hangs unless all are there together
    });
    return threads;
  };
  const std::vector<std::thread::id> first = threads_together();
  EXPECT_EQ(first[0], std::this_thread::get_id());
  EXPECT_EQ(std::set<std::thread::id>(first.begin(), first.end()).size(), first.size());
  EXPECT_EQ(threads_together(), first) << "a worker keeps its thread";
}

// A worker that is busy elsewhere, as on a machine with more to do, does not hold the caller up:
// its share is done once, by the caller, and when it comes it finds nothing to do.
TEST_P(ThreadTeamSizes, TheCallerDoesTheShareOfAWorkerThatDoesNotCome) {
  const int size = GetParam();
  auto team = make_team(size);
  const auto caller = std::this_thread::get_id();
  int by_caller = 0;
  for (int region = 0; region < 2000; ++region) {
    std::vector<std::atomic<int>> done(static_cast<size_t>(size));
    std::atomic<int> mine{0};
    team->run([&](int worker) {
      ++done[static_cast<size_t>(worker)];
      if (std::this_thread::get_id() == caller) ++mine;
    });
    by_caller += mine;
    for (const auto& times : done) ASSERT_EQ(times, 1) << "region " << region;
  }
  EXPECT_GE(by_caller, 2000);
  EXPECT_LE(by_caller, 2000 * size);
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
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "it takes time of its own at every wake";
#endif
  auto team = make_team(2);
  std::atomic<int> ran{0};
  double least = 1;
  for (int attempt = 0; attempt < 5 && least >= 0.06; ++attempt) {
    const double before = cpu_seconds();
    const auto start = Clock::now();
    for (int i = 0; i < 200; ++i) {
      team->run([&](int) { ++ran; });
      team->rest();
      team->rest();  // twice is as once
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const double wall = std::chrono::duration<double>(Clock::now() - start).count();
    least = std::min(least, (cpu_seconds() - before) / wall);
    EXPECT_EQ(ran, 400 * (attempt + 1));
  }
  // Without rest() each round spins for 80 us of its 1.1 ms.
  EXPECT_LT(least, 0.06);
}

TEST(ThreadTeamTest, UsesSomeOfItsWorkersAndLetsTheOthersSleep) {
  auto team = make_team(4);
  std::vector<int> sizes = {4, 1, 3, 2, 4, 2, 1, 4, 3};
  for (int round = 0; round < 200; ++round) {
    const int size = sizes[static_cast<size_t>(round) % sizes.size()];
    team->use(size);
    ASSERT_EQ(team->size(), size);
    ASSERT_EQ(team->capacity(), 4);
    for (int region = 0; region < 5; ++region) {
      std::atomic<int> mask{0};
      team->run([&](int worker) { mask |= 1 << worker; });
      ASSERT_EQ(mask, (1 << size) - 1);
    }
  }
  team->use(9);
  EXPECT_EQ(team->size(), 4) << "there are no more";

  // Two at work: the other two use no CPU.
  team->use(2);
  team->run([](int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double before = cpu_seconds();
  const auto start = Clock::now();
  while (Clock::now() < start + std::chrono::milliseconds(200)) team->run([](int) {});
  const double wall = std::chrono::duration<double>(Clock::now() - start).count();
  EXPECT_LT(cpu_seconds() - before, 2.2 * wall);
}

// The counter of regions starts again after 2^31, which a small model reaches in hours.
TEST(ForkJoinTest, GoesOnWhenTheCountOfRegionsStartsAgain) {
  constexpr uint32_t kLast = UINT32_MAX / 2;
  for (const uint32_t first : {kLast - 1000, kLast - 1, kLast}) {
    ForkJoin barrier(3, false, first);
    std::vector<std::jthread> workers;
    for (int w = 1; w < 3; ++w) {
      workers.emplace_back([&barrier, w] {
        barrier.serve(w, [w](JobFunction job, void* context) { job(context, w); });
      });
    }
    std::atomic<int> ran{0};
    const auto job = [](void* count, int) { ++*static_cast<std::atomic<int>*>(count); };
    for (int region = 0; region < 3000; ++region) {
      if (region % 100 == 50) barrier.use(2);
      if (region % 100 == 0) barrier.use(3);
      barrier.region(job, &ran, [](int) {});
    }
    EXPECT_EQ(ran, 3000 / 2 * 5);
    barrier.use(3);
    barrier.region(nullptr, nullptr, [](int) {});
  }
}

// A worker that takes five times as long as the caller, as one whose CPU others use: it is not
// waited for all the time, and it gets new chances.
TEST(ForkJoinTest, GoesOnAloneWhereWaitingEatsTheHelp) {
  ForkJoin barrier(2, false);
  std::jthread helper(
      [&] { barrier.serve(1, [](JobFunction job, void* context) { job(context, 1); }); });
  struct Counts {
    std::thread::id caller = std::this_thread::get_id();
    std::atomic<int> shares{0};
    std::atomic<int> by_helper{0};
  } counts;
  const auto job = [](void* context, int worker) {
    Counts& c = *static_cast<Counts*>(context);
    const bool helps = std::this_thread::get_id() != c.caller;
    c.by_helper += helps;
    ++c.shares;
    if (worker == 0 || helps) {
      std::this_thread::sleep_for(std::chrono::microseconds(helps ? 1000 : 200));
    }
  };
  int regions = 0;
  const auto until = [&](bool alone) {
    for (int i = 0; i < 20'000 && barrier.is_alone() != alone; ++i, ++regions) {
      barrier.region(job, &counts, [](int) {});
    }
    return barrier.is_alone() == alone;
  };
  EXPECT_TRUE(until(true));
  const int before = counts.by_helper;
  EXPECT_GT(before, 0);
  EXPECT_TRUE(until(false)) << "after a while it is tried again";
  EXPECT_EQ(counts.by_helper, before) << "alone means alone";
  EXPECT_TRUE(until(true));
  EXPECT_GT(counts.by_helper, before);
  EXPECT_EQ(counts.shares, 2 * regions);
  barrier.region(nullptr, nullptr, [](int) {});
}

TeamPlan plan_of_kinds(const std::vector<double>& speeds) {
  TeamPlan plan;
  for (size_t i = 0; i < speeds.size(); ++i) {
    plan.workers.push_back({0, static_cast<int>(i), speeds[i], {}});
  }
  plan.decoders = plan.readers = static_cast<int>(speeds.size());
  plan.nodes = {0};
  return plan;
}

TEST(WorkerSharesTest, FollowSpeedsAndCoverEverythingOnce) {
  WorkerShares shares({1, 0.5, 0.25, 0.25});
  EXPECT_EQ(shares.range(1600, 16, 0).end, 800u);
  EXPECT_EQ(shares.range(1600, 16, 1).end, 1200u);
  for (const int active : {4, 3, 2, 1}) {
    shares.use(active);
    for (const size_t count : {0, 1, 7, 16, 100, 1152, 262144}) {
      for (const size_t unit : {1, 3, 16}) {
        size_t begin = 0;
        for (int worker = 0; worker < active; ++worker) {
          const Range range = shares.range(count, unit, worker);
          ASSERT_EQ(range.begin, begin);
          ASSERT_LE(range.begin, range.end);
          ASSERT_TRUE(range.end == count || range.end % unit == 0);
          begin = range.end;
        }
        ASSERT_EQ(begin, count);
      }
    }
  }
}

// Worker 1 takes three times as long for the same work, then as long as the others.
TEST(WorkerSharesTest, AreCorrectedWhenSpeedsAreNotAsTheySeemed) {
  WorkerShares shares({1, 1});
  const auto spend = [&](double slowness, int regions) {
    for (int i = 0; i < regions; ++i) {
      shares.add_time(0, static_cast<uint64_t>(1e5 * shares.share(0)));
      shares.add_time(1, static_cast<uint64_t>(1e5 * slowness * shares.share(1)));
      shares.end_region();
    }
  };
  spend(1, 5000);
  EXPECT_EQ(shares.share(1), 0.5) << "equal speeds stay equal";
  spend(3, 5000);
  EXPECT_NEAR(shares.share(1), 0.25, 0.02);
  spend(1, 5000);
  EXPECT_NEAR(shares.share(1), 0.5, 0.02);
  spend(1e9, 5000);
  EXPECT_NEAR(shares.share(1), 0.025, 0.001) << "enough to notice that it recovers";
  spend(1, 20'000);
  EXPECT_NEAR(shares.share(1), 0.5, 0.02);
}

TEST(WorkerSharesTest, OfThoseWhoRestAreKept) {
  WorkerShares shares({1, 1, 0.5});
  shares.use(2);
  for (int i = 0; i < 5000; ++i) {
    shares.add_time(0, 1000);
    shares.add_time(1, static_cast<uint64_t>(3000 * shares.share(1) / shares.share(0)));
    shares.end_region();
  }
  EXPECT_NEAR(shares.share(1), 0.25, 0.01);
  shares.use(3);
  EXPECT_NEAR(shares.share(2), 0.2, 0.001) << "half of an average one's";
}

// The team itself: a worker that needs four times as long for a row gets a quarter of the rows.
TEST(ThreadTeamTest, GivesASlowWorkerLess) {
  auto made = ThreadTeam::create(plan_of_kinds({1, 1}));
  ASSERT_TRUE(made.ok());
  ThreadTeam& team = **made;
  if (team.size() < 2) GTEST_SKIP() << "no second thread";
  constexpr size_t kRows = 200;
  const auto rows_of_slow = [&] {
    const Range slow = team.range(kRows, 1, 1);
    return slow.end - slow.begin;
  };
  ASSERT_EQ(rows_of_slow(), kRows / 2);
  const auto limit = Clock::now() + std::chrono::seconds(20);  // a busy machine needs longer
  while (rows_of_slow() >= 80 && Clock::now() < limit) {
    std::vector<std::atomic<int>> done(kRows);
    team.run([&](int worker) {
      const Range rows = team.range(kRows, 1, worker);
      timespec time = {};
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      const auto cpu = [&] {
        timespec now = {};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return (now.tv_sec - time.tv_sec) * 1'000'000'000L + now.tv_nsec - time.tv_nsec;
      };
      const long row_ns = worker == 0 ? 200 : 800;
      for (size_t row = rows.begin; row < rows.end; ++row) ++done[row];
      while (cpu() < row_ns * static_cast<long>(rows.end - rows.begin)) {
      }
    });
    for (const auto& times : done) ASSERT_EQ(times, 1);
  }
  EXPECT_LT(rows_of_slow(), 80u) << "goes to 40 on a quiet machine";
}

TEST(ThreadTeamTest, KeepsItsWorkersWhereThePlanWants) {
  cpu_set_t all;
  ASSERT_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
  int first = 0;
  while (!CPU_ISSET(static_cast<size_t>(first), &all)) ++first;
  TeamPlan plan;
  plan.workers.assign(3, {0, 0, 1, {first}});
  plan.decoders = plan.readers = 3;
  plan.nodes = {0};
  auto made = ThreadTeam::create(plan);
  ASSERT_TRUE(made.ok());
  std::vector<int> cpus(3);
  {
    const ThreadTeam::Caller caller(**made);
    (*made)->run([&](int worker) {
      cpu_set_t set;
      sched_getaffinity(0, sizeof(set), &set);
      cpus[static_cast<size_t>(worker)] =
          CPU_COUNT(&set) == 1 && CPU_ISSET(static_cast<size_t>(first), &set) ? 1 : 0;
    });
  }
  EXPECT_EQ(cpus, (std::vector<int>{1, 1, 1}));
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&all, &after)) << "the caller is free again";
}

TEST(ThreadTeamTest, RangesOfNodesAreThoseOfTheirWorkers) {
  TeamPlan plan;
  for (const int node : {0, 0, 1, 1, 1}) plan.workers.push_back({node, 0, 1, {}});
  plan.decoders = plan.readers = 5;
  plan.nodes = {0, 1};
  auto made = ThreadTeam::create(plan);
  ASSERT_TRUE(made.ok());
  if ((*made)->size() < 5) GTEST_SKIP() << "fewer threads";
  EXPECT_EQ((*made)->nodes(), 2);
  EXPECT_EQ((*made)->range_of_node(1600, 16, 0).end, 640u);
  EXPECT_EQ((*made)->range_of_node(1600, 16, 1).begin, 640u);
  EXPECT_EQ((*made)->range_of_node(1600, 16, 1).end, 1600u);
  (*made)->use(2);
  EXPECT_EQ((*made)->nodes(), 1);
  EXPECT_EQ((*made)->range_of_node(1600, 16, 0).end, 1600u);
  EXPECT_TRUE((*made)->range_of_node(1600, 16, 1).empty());
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
    constexpr float kEight = std::numeric_limits<float>::denorm_min() * 8;
    volatile float denormal = kEight;
    team->run([&](int worker) { halves[static_cast<size_t>(worker)] = denormal * 0.5f; });
    EXPECT_EQ(_mm_getcsr() & kFlushAndDenormalsAreZero, kFlushAndDenormalsAreZero)
        << "the caller's mode comes back";
    for (const float half : halves) EXPECT_EQ(std::bit_cast<uint32_t>(half), 4u);
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
