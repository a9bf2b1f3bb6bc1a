// What a parallel region costs: hot, after sleep, beside work, oversubscribed.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "runtime/machine/thread_team.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

std::unique_ptr<ThreadTeam> make_team(benchmark::State& state) {
  const auto threads = static_cast<int>(state.range(0));
  auto team = std::move(ThreadTeam::create(threads)).value();
  if (team->size() != threads) state.SkipWithError(team->notes().front().c_str());
  return team;
}

// Reports percentiles of single regions, which a mean over a shared machine hides.
void report(benchmark::State& state, std::vector<double>& seconds) {
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double part) {
    return seconds[static_cast<size_t>(part * static_cast<double>(seconds.size() - 1))] * 1e9;
  };
  state.counters["median_ns"] = at(0.5);
  state.counters["p99_ns"] = at(0.99);
}

void empty_region_hot(benchmark::State& state) {
  auto team = make_team(state);
  std::vector<double> seconds;
  for (auto _ : state) {
    const auto start = Clock::now();
    team->run([](int) {});
    const double time = std::chrono::duration<double>(Clock::now() - start).count();
    state.SetIterationTime(time);
    seconds.push_back(time);
  }
  report(state, seconds);
}
BENCHMARK(empty_region_hot)->DenseRange(1, 4)->Iterations(100'000)->UseManualTime();

// Time of regions of 5 us of work for each worker, beyond that.
void measure_cost(benchmark::State& state, ThreadTeam& team) {
  constexpr auto kWork = std::chrono::microseconds(5);
  std::vector<double> seconds;
  for (auto _ : state) {
    const auto start = Clock::now();
    team.run([&](int) {
      const auto end = Clock::now() + kWork;
      while (Clock::now() < end) {
      }
    });
    const double time = std::chrono::duration<double>(Clock::now() - start - kWork).count();
    state.SetIterationTime(time);
    seconds.push_back(time);
  }
  report(state, seconds);
}

// What a region costs beyond its work: every worker has 5 us of it, long enough for all to come
// (the caller does the share of one that is late, so empty regions are cheaper than any real one).
void region_cost(benchmark::State& state) {
  measure_cost(state, *make_team(state));
}
BENCHMARK(region_cost)->Arg(2)->Arg(4)->Arg(8)->Arg(16)->Iterations(20'000)->UseManualTime();

// What taking the time of every share costs, as the team does where cores differ.
void region_cost_by_speed(benchmark::State& state) {
  TeamPlan plan;
  plan.workers.resize(2);
  plan.workers[1].kind = 1;
  plan.decoders = plan.readers = 2;
  plan.nodes = {0};
  measure_cost(state, **ThreadTeam::create(plan));
}
BENCHMARK(region_cost_by_speed)->Iterations(20'000)->UseManualTime();

void empty_region_asleep(benchmark::State& state) {
  auto team = make_team(state);
  std::vector<double> seconds;
  for (auto _ : state) {
    team->rest();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const auto start = Clock::now();
    team->run([](int) {});
    const double time = std::chrono::duration<double>(Clock::now() - start).count();
    state.SetIterationTime(time);
    seconds.push_back(time);
  }
  report(state, seconds);
}
BENCHMARK(empty_region_asleep)->Arg(2)->Iterations(1000)->UseManualTime();

// A fixed amount of arithmetic, range(1) microseconds on one thread, divided among the team.
void divided_work(benchmark::State& state) {
  auto team = make_team(state);
  constexpr uint64_t kStepsPerMicrosecond = 700;
  const size_t steps = static_cast<size_t>(state.range(1)) * kStepsPerMicrosecond;
  std::vector<double> seconds;
  for (auto _ : state) {
    const auto start = Clock::now();
    team->run([&](int worker) {
      const Range range = split_range(steps, 1, worker, team->size());
      uint64_t x = 1;
      for (size_t i = range.begin; i < range.end; ++i) x = x * 6364136223846793005u + i;
      benchmark::DoNotOptimize(x);
    });
    const double time = std::chrono::duration<double>(Clock::now() - start).count();
    state.SetIterationTime(time);
    seconds.push_back(time);
  }
  report(state, seconds);
}
BENCHMARK(divided_work)
    ->ArgsProduct({{1, 2, 4, 8}, {20, 100, 500}})
    ->Iterations(3000)
    ->UseManualTime();

}  // namespace
}  // namespace nibble

BENCHMARK_MAIN();
