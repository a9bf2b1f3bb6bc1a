// The team (see thread_team.h): how workers are got from oneTBB and how a region is forked and
// joined.
//
// A region: the caller writes the job, then the epoch; workers that see a new epoch do the job and
// count down; the caller does its own share and waits for zero. Both sides first spin and then
// sleep on the word they watch (std::atomic::wait).
#include "runtime/machine/thread_team.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/file/check.h"
#include "runtime/machine/cgroup.h"
#include "runtime/machine/float_mode.h"

#if defined(__SANITIZE_THREAD__)
#define NIBBLE_THREAD_SANITIZER 1
#elif defined(__has_feature)
#define NIBBLE_THREAD_SANITIZER __has_feature(thread_sanitizer)
#endif

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxThreads = 1024;
// How long workers may take to arrive. Starting a thread takes 50 us; a loaded machine some 100 ms.
constexpr auto kArrivalLimit = std::chrono::seconds(2);
// Longer than the serial pieces of a decode step, short enough not to be seen in `top`.
constexpr auto kSpinTime = std::chrono::microseconds(80);
// Of that, before it begins to yield. With one other busy process on two CPUs the scheduler leaves
// both threads on one CPU for seconds: 20 us of work divided by two then took 180 us without
// yielding and takes 30 us with it. Pinning the workers would prevent that sharing, and took 4 ms,
// as a pinned worker waits for whole time slices; on a quiet machine it gained nothing.
constexpr auto kPureSpinTime = std::chrono::microseconds(5);
// Two lines of 64 bytes: Intel fetches them in pairs, so neighbours would still share.
constexpr size_t kLineBytes = 128;

void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // as long as x86's pause; `yield` does nothing on these cores
#endif
}

// CPUs that this process may keep busy at the same time.
int usable_cpus() {
  double cpus = std::max(1u, std::thread::hardware_concurrency());
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cpus = CPU_COUNT(&set);
  const double quota = read_cgroup_limits().cpu_quota;
  if (quota > 0) cpus = std::min(cpus, quota);
  return std::max(1, static_cast<int>(cpus));
}

// What the threads of a team share. Workers hold it too (shared_ptr): one that TBB starts too late
// finds the door closed, even after the team is gone.
struct Shared {
  // The bit says "rest": sleep without spinning first. The rest of the word counts regions.
  static constexpr uint32_t kRestBit = 1;
  static constexpr uint32_t kOneRegion = 2;
  static constexpr int kClosed = 1 << 30;

  // The job travels in the epoch's own line: a worker that saw the epoch has it already.
  alignas(kLineBytes) std::atomic<uint32_t> epoch{0};
  void (*fn)(void*, int) = nullptr;  // null: workers leave
  void* context = nullptr;

  alignas(kLineBytes) std::atomic<uint32_t> remaining{0};
  alignas(kLineBytes) std::atomic<size_t> next_chunk{0};
  alignas(kLineBytes) std::atomic<int> arrived{0};
  bool oversubscribed = false;  // constant once workers run

  // Spins until done() or the spin time is over; true if done. Soon it lets others have the CPU
  // between looks: one of them may be the thread that is waited for.
  template <typename Done>
  bool spin(Done done) const {
    const auto start = Clock::now();
    const auto yield_from = oversubscribed ? start : start + kPureSpinTime;
    for (;;) {
      for (int i = 0; i < 16; ++i) {
        if (done()) return true;
        pause_cpu();
      }
      const auto now = Clock::now();
      if (now > start + kSpinTime) return false;
      if (now > yield_from) std::this_thread::yield();
    }
  }

  // The epoch of the next region after `seen`. Acquire: pairs with start()'s store, so the job and
  // all that the caller wrote before it are visible.
  uint32_t wait_for_region(uint32_t seen) const {
    uint32_t now = seen;
    const auto changed = [&] {
      now = epoch.load(std::memory_order_acquire);
      return now != seen;
    };
    bool may_spin = true;
    while (now / kOneRegion == seen / kOneRegion) {
      if (now & kRestBit) may_spin = false;
      if (may_spin && spin(changed)) continue;
      epoch.wait(now, std::memory_order_acquire);
      now = epoch.load(std::memory_order_acquire);
    }
    return now;
  }

  // seq_cst: notify_all() makes its system call only if it sees a sleeper registered, and a sleeper
  // registers before it looks at the epoch; one of the two must see the other.
  void start(int workers) {
    remaining.store(static_cast<uint32_t>(workers), std::memory_order_relaxed);
    const uint32_t now = epoch.load(std::memory_order_relaxed);
    epoch.store((now | kRestBit) + 1, std::memory_order_seq_cst);
    epoch.notify_all();
  }

  // The decrements form one release sequence: the caller's acquire of zero sees what every worker
  // wrote. seq_cst for the same reason as in start().
  void finish() {
    if (remaining.fetch_sub(1, std::memory_order_seq_cst) == 1) remaining.notify_one();
  }

  void wait_for_workers() const {
    if (spin([&] { return remaining.load(std::memory_order_acquire) == 0; })) return;
    uint32_t left;
    while ((left = remaining.load(std::memory_order_acquire)) != 0) {
      remaining.wait(left, std::memory_order_acquire);
    }
  }

  void work() noexcept {
    const int worker = arrived.fetch_add(1, std::memory_order_acq_rel) + 1;
    if (worker > kClosed) return;
    const DefaultFloatMode mode;
    for (uint32_t seen = 0;;) {
      seen = wait_for_region(seen);
      const auto job = fn;
      if (job != nullptr) job(context, worker);
      finish();
      if (job == nullptr) return;
    }
  }
};

// How many of `wanted` threads the system starts now. TBB would end the process when one of its
// workers fails to start the next.
int startable_threads(int wanted, std::string* reason) {
  std::latch leave(1);
  std::vector<std::jthread> threads;
  try {
    for (int i = 0; i < wanted; ++i) threads.emplace_back([&leave] { leave.wait(); });
  } catch (const std::exception& error) {
    *reason = error.what();
  }
  leave.count_down();
  return static_cast<int>(threads.size());
}

}  // namespace

Range split_range(size_t count, size_t unit, int index, int parts) {
  NIBBLE_CHECK(unit > 0 && parts > 0 && index >= 0 && index < parts);
  const size_t units = count / unit + (count % unit != 0);
  const auto n = static_cast<size_t>(parts);
  const auto i = static_cast<size_t>(index);
  const size_t base = units / n;
  const size_t longer = units % n;  // the first `longer` parts hold one unit more
  const size_t first = i * base + std::min(i, longer);
  const size_t last = first + base + (i < longer ? 1 : 0);
  return {first < units ? first * unit : count, last < units ? last * unit : count};
}

struct ThreadTeam::Impl {
  std::shared_ptr<Shared> shared = std::make_shared<Shared>();
  int size = 1;
  bool busy = false;
  std::vector<std::string> notes;

  // Starts up to `wanted` workers and takes those that come in time.
  void hire(int wanted) {
    std::string reason = "the others did not start in time";
    try {
      const int possible = startable_threads(wanted, &reason);
      if (possible > 0) start_workers(possible);
    } catch (const std::exception& error) {
      reason = error.what();
    }
    size = 1 + shared->arrived.fetch_or(Shared::kClosed, std::memory_order_acq_rel);
    if (size < wanted + 1) {
      notes.push_back("asked for " + std::to_string(wanted + 1) + " threads, have " +
                      std::to_string(size) + ": " + reason);
    }
  }

#if NIBBLE_THREAD_SANITIZER
  // The sanitizer cannot see into libtbb and takes every task that it hands over for a race.
  std::vector<std::jthread> threads;
  void start_workers(int count) {
    for (int i = 0; i < count; ++i) threads.emplace_back([state = shared] { state->work(); });
    await_arrivals(count);
  }
#else
  void start_workers(int count) const {
    // The arena and the limit count the caller too. Raising the limit for a moment starts no
    // threads by itself, and workers that have begun stay when it falls again.
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                    static_cast<size_t>(kMaxThreads));
    tbb::task_arena arena(count + 1, 1);
    for (int i = 0; i < count; ++i) arena.enqueue([state = shared] { state->work(); });
    await_arrivals(count);
  }
#endif

  void await_arrivals(int wanted) const {
    const auto limit = Clock::now() + kArrivalLimit;
    while (shared->arrived.load(std::memory_order_acquire) < wanted && Clock::now() < limit) {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }

  void region(void (*fn)(void*, int), void* context) {
    shared->fn = fn;
    shared->context = context;
    shared->start(size - 1);
    if (fn != nullptr) {
      const DefaultFloatMode mode;
      fn(context, 0);
    }
    shared->wait_for_workers();
  }
};

ThreadTeam::ThreadTeam() : impl_(std::make_unique<Impl>()) {}

Result<std::unique_ptr<ThreadTeam>> ThreadTeam::create(int threads) {
  if (threads < 1 || threads > kMaxThreads) {
    return Error{ErrorCode::kUsage, "threads must be 1 to " + std::to_string(kMaxThreads) +
                                        ", not " + std::to_string(threads)};
  }
  std::unique_ptr<ThreadTeam> team(new ThreadTeam);
  Impl& impl = *team->impl_;
  impl.shared->oversubscribed = threads > usable_cpus();
  if (threads > 1) impl.hire(threads - 1);
  return team;
}

ThreadTeam::~ThreadTeam() {
  if (impl_->size > 1) impl_->region(nullptr, nullptr);
}

int ThreadTeam::size() const {
  return impl_->size;
}

const std::vector<std::string>& ThreadTeam::notes() const {
  return impl_->notes;
}

void ThreadTeam::run_impl(void (*fn)(void*, int), void* context) {
  NIBBLE_CHECK(!impl_->busy);  // a region inside a region would wait for itself
  impl_->busy = true;
  if (impl_->size == 1) {
    const DefaultFloatMode mode;
    fn(context, 0);
  } else {
    impl_->region(fn, context);
  }
  impl_->busy = false;
}

void ThreadTeam::run_dynamic_impl(size_t count, size_t unit, void (*fn)(void*, Range, int),
                                  void* context) {
  NIBBLE_CHECK(unit > 0);
  const size_t chunks = count / unit + (count % unit != 0);
  std::atomic<size_t>& next = impl_->shared->next_chunk;
  next.store(0, std::memory_order_relaxed);  // the region's start publishes it
  run([&](int worker) {
    for (size_t chunk; (chunk = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) {
      const size_t begin = chunk * unit;
      fn(context, {begin, begin + std::min(unit, count - begin)}, worker);
    }
  });
}

void ThreadTeam::rest() {
  impl_->shared->epoch.fetch_or(Shared::kRestBit, std::memory_order_relaxed);
}

}  // namespace nibble
