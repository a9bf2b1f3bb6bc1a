// The team (see thread_team.h): how workers are got from oneTBB, where they stay, and what each
// region does. Read next: fork_join.h (the barrier), worker_shares.h (who gets how much).
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
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "runtime/file/check.h"
#include "runtime/machine/cgroup.h"
#include "runtime/machine/cpu_binding.h"
#include "runtime/machine/float_mode.h"
#include "runtime/machine/fork_join.h"

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

// CPUs that the plan's workers may keep busy at the same time.
int usable_cpus(const TeamPlan& plan) {
  double cpus = std::max(1u, std::thread::hardware_concurrency());
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cpus = CPU_COUNT(&set);
  std::set<int> bound;
  for (const PlannedWorker& worker : plan.workers) {
    bound.insert(worker.cpus.begin(), worker.cpus.end());
  }
  if (!bound.empty()) cpus = std::min(cpus, static_cast<double>(bound.size()));
  const double quota = read_cgroup_limits().cpu_quota;
  if (quota > 0) cpus = std::min(cpus, quota);
  return std::max(1, static_cast<int>(cpus));
}

uint64_t nanoseconds_since(Clock::time_point start) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count());
}

// What the threads of a team share. Workers hold it too (shared_ptr): one that TBB starts too late
// finds the door closed, even after the team is gone.
struct Shared {
  Shared(const TeamPlan& team, bool oversubscribed)
      : plan(team), barrier(static_cast<int>(team.workers.size()), oversubscribed) {
    if (plan.one_kind()) return;
    std::vector<double> speeds;
    for (const PlannedWorker& worker : plan.workers) speeds.push_back(worker.speed);
    shares = WorkerShares(speeds);
  }

  static constexpr int kClosed = 1 << 30;
  const TeamPlan plan;
  ForkJoin barrier;
  WorkerShares shares;
  alignas(128) std::atomic<size_t> next_chunk{0};
  alignas(128) std::atomic<int> arrived{0};

  void work() noexcept {
    const int worker = arrived.fetch_add(1, std::memory_order_acq_rel) + 1;
    if (worker > kClosed) return;
    const DefaultFloatMode mode;
    // Undone when it leaves: the thread is TBB's, and goes on to other work.
    const CpuBinding binding(plan.workers[static_cast<size_t>(worker)].cpus);
    barrier.serve(worker, [worker](JobFunction job, void* context) { job(context, worker); });
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

struct ThreadTeam::Impl {
  Impl(const TeamPlan& plan, bool oversubscribed)
      : shared(std::make_shared<Shared>(plan, oversubscribed)) {}

  std::shared_ptr<Shared> shared;
  int capacity = 1;  // threads, the caller's included
  int active = 0;    // of those, in the regions now
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
    capacity = 1 + shared->arrived.fetch_or(Shared::kClosed, std::memory_order_acq_rel);
    if (capacity < wanted + 1) {
      notes.push_back("asked for " + std::to_string(wanted + 1) + " threads, have " +
                      std::to_string(capacity) + ": " + reason);
    }
  }

#if NIBBLE_THREAD_SANITIZER
  // The sanitizer cannot see into libtbb and takes every task that it hands over for a race.
  std::vector<std::jthread> workers;
  void start_workers(int count) {
    for (int i = 0; i < count; ++i) workers.emplace_back([state = shared] { state->work(); });
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

  void use(int count) {
    if (count == active) return;
    shared->barrier.use(count);
    shared->shares.use(count);
    active = count;
  }

  void region(JobFunction job, void* context) {
    const DefaultFloatMode mode;
    if (active == 1) return job(context, 0);
    shared->barrier.region(job, context, [](int) {});
  }

  // The same, with the time of each share taken.
  struct Timed {
    JobFunction job;
    void* context;
    WorkerShares* shares;
  };
  void timed_region(JobFunction job, void* context) {
    if (shared->barrier.is_alone()) return region(job, context);  // would be one core's times
    const DefaultFloatMode mode;
    Timed timed{job, context, &shared->shares};
    const auto start = Clock::now();
    const auto run = [](void* own, int worker) {
      const Timed& t = *static_cast<Timed*>(own);
      const auto begin = Clock::now();
      t.job(t.context, worker);
      t.shares->add_time(worker, nanoseconds_since(begin));
    };
    // A worker that did not come counts as slow: its share's time, and the region's until then.
    const auto late = [&](int worker) { timed.shares->add_time(worker, nanoseconds_since(start)); };
    shared->barrier.region(run, &timed, late);
    timed.shares->end_region();
  }
};

ThreadTeam::ThreadTeam(const TeamPlan& plan, bool oversubscribed)
    : impl_(std::make_unique<Impl>(plan, oversubscribed)) {}

Result<std::unique_ptr<ThreadTeam>> ThreadTeam::create(int threads) {
  if (threads < 1 || threads > kMaxThreads) {
    return Error{ErrorCode::kUsage, "threads must be 1 to " + std::to_string(kMaxThreads) +
                                        ", not " + std::to_string(threads)};
  }
  TeamPlan plan;
  plan.workers.resize(static_cast<size_t>(threads));
  plan.decoders = plan.readers = threads;
  plan.nodes = {0};
  return create(plan);
}

Result<std::unique_ptr<ThreadTeam>> ThreadTeam::create(const TeamPlan& plan) {
  const auto threads = static_cast<int>(plan.workers.size());
  NIBBLE_CHECK(threads >= 1 && threads <= kMaxThreads);
  std::unique_ptr<ThreadTeam> team(new ThreadTeam(plan, threads > usable_cpus(plan)));
  Impl& impl = *team->impl_;
  if (threads > 1) impl.hire(threads - 1);
  impl.use(impl.capacity);
  return team;
}

ThreadTeam::~ThreadTeam() {
  if (impl_->capacity == 1) return;
  impl_->use(impl_->capacity);
  impl_->shared->barrier.region(nullptr, nullptr, [](int) {});
}

int ThreadTeam::size() const {
  return impl_->active;
}

int ThreadTeam::capacity() const {
  return impl_->capacity;
}

void ThreadTeam::use(int workers) {
  impl_->use(std::clamp(workers, 1, impl_->capacity));
}

const TeamPlan& ThreadTeam::plan() const {
  return impl_->shared->plan;
}

Range ThreadTeam::range(size_t count, size_t unit, int worker) const {
  return impl_->shared->shares.range(count, unit, worker);
}

int ThreadTeam::nodes() const {
  int nodes = 1;
  for (int worker = 0; worker < size(); ++worker) {
    nodes = std::max(nodes, 1 + plan().workers[static_cast<size_t>(worker)].node);
  }
  return nodes;
}

Range ThreadTeam::range_of_node(size_t count, size_t unit, int node) const {
  Range all{count, count};
  for (int worker = size() - 1; worker >= 0; --worker) {
    if (plan().workers[static_cast<size_t>(worker)].node != node) continue;
    const Range mine = range(count, unit, worker);
    if (all.empty()) all.end = mine.end;
    all.begin = mine.begin;
  }
  return all;
}

ThreadTeam::Caller::Caller(const ThreadTeam& team) : binding_(team.plan().workers[0].cpus) {}

const std::vector<std::string>& ThreadTeam::notes() const {
  return impl_->notes;
}

void ThreadTeam::run_impl(JobFunction job, void* context) {
  NIBBLE_CHECK(!impl_->busy);  // a region inside a region would wait for itself
  impl_->busy = true;
  if (impl_->shared->shares.by_speed() && impl_->active > 1) {
    impl_->timed_region(job, context);
  } else {
    impl_->region(job, context);
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
  impl_->shared->barrier.rest();
}

}  // namespace nibble
