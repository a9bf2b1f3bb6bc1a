// What a parallel region costs: hot, after sleep, oversubscribed, and next to real work.
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
