#include "runtime/machine/probe.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "runtime/machine/memory.h"
#include "simd/registry.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double thread_cpu_seconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Runs fn(thread) on all threads, released together; seconds until the last is done. For one
// thread they are CPU seconds: other programs that take the core do not count.
template <typename F>
double run_together(int threads, const F& fn) {
  if (threads == 1) {
    const double start = thread_cpu_seconds();
    fn(0);
    return thread_cpu_seconds() - start;
  }
  std::atomic<int> waiting{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) {
    others.emplace_back([&, t] {
      waiting.fetch_add(1);
      while (!go.load()) std::this_thread::yield();
      fn(t);
    });
  }
  while (waiting.load() < threads - 1) std::this_thread::yield();
  const Clock::time_point start = Clock::now();
  go.store(true);
  fn(0);
  for (std::thread& other : others) other.join();
  return seconds_since(start);
}

// Reads all words. Four sums, or the chain of additions would be the limit; prefetches, as a plain
// loop stops at page borders and leaves a tenth of the bandwidth unused.
uint64_t sum_words(const uint64_t* p, size_t count) {
  constexpr size_t kAhead = 4096 / sizeof(uint64_t);
  uint64_t sum[4] = {};
  for (size_t i = 0; i + 8 <= count; i += 8) {
    __builtin_prefetch(p + i + kAhead);
    for (size_t j = 0; j < 8; ++j) sum[j % 4] += p[i + j];
  }
  return sum[0] + sum[1] + sum[2] + sum[3];
}

}  // namespace

Result<double> probe_read_gb_per_s(int threads, size_t bytes) {
  NIBBLE_TRY(Buffer buffer, Buffer::allocate(bytes, "the bandwidth probe"));
  uint64_t* words = buffer.as<uint64_t>();
  const size_t share = bytes / sizeof(uint64_t) / static_cast<size_t>(threads);
  std::atomic<uint64_t> sink{0};
  // First touch by the thread that will read: it decides the NUMA node of the page.
  run_together(threads, [&](int t) { std::fill_n(words + t * share, share, uint64_t{1}); });

  const double read_bytes = static_cast<double>(share * sizeof(uint64_t)) * threads;
  double best = 0;
  const Clock::time_point start = Clock::now();
  for (int pass = 0; pass < 2 || (pass < 16 && seconds_since(start) < 0.15); ++pass) {
    const double seconds =
        run_together(threads, [&](int t) { sink += sum_words(words + t * share, share); });
    best = std::max(best, read_bytes / seconds * 1e-9);
  }
  return best;
}

double probe_int8_gmac_per_s(int threads, CpuFeatures features) {
  const Kernel* kernel = select_kernel(Op::kPeak, Format::kF32, features);
  const auto peak = kernel->entry->fn.peak;
  size_t rounds = 1000;  // grown until a pass takes 5 ms
  double best = 0;
  const Clock::time_point start = Clock::now();
  // Five passes at least, as a busy machine gives few of them in the time.
  for (int passes = 0; passes < 5 || seconds_since(start) < 0.05;) {
    std::atomic<uint64_t> macs{0};
    const double seconds = run_together(threads, [&](int) {
      PeakArgs args = {.rounds = rounds, .macs = 0, .sink = 0};
      peak(&args);
      macs += args.macs;
    });
    if (seconds < 0.005) {
      rounds *= 2;
      continue;
    }
    ++passes;
    best = std::max(best, static_cast<double>(macs.load()) / seconds * 1e-9);
  }
  return best;
}

}  // namespace nibble
