// The barrier of a team: how a region is forked to its workers and joined.
//
// A region: the caller writes the job, then the epoch; workers that see a new epoch claim their
// share of the job, do it and count down; the caller does its own share, then those that no worker
// has claimed yet (on a busy machine a worker may get its CPU only milliseconds later), and waits
// for zero. Both sides first spin, then look between yields, and then sleep on the word they watch
// (std::atomic::wait). Workers beyond the active ones sleep on another word. Where waiting eats
// what the workers bring (small models on a busy machine), the caller goes on alone for a while.
//
// Order of memory, in short: the store of the epoch publishes the job and all that the caller wrote
// before (release, read with acquire); the countdown to zero publishes all that the workers wrote
// (a release sequence, read with acquire); a claim orders nothing, it only decides who. Used by
// thread_team.cpp alone.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace nibble {

using JobFunction = void (*)(void* context, int worker);

class ForkJoin {
 public:
  // `workers` includes the caller, worker 0; all are active.
  // `oversubscribed`: there are more of them than CPUs, so spinning keeps others from working.
  ForkJoin(int workers, bool oversubscribed)
      : claims_(static_cast<size_t>(workers)), oversubscribed_(oversubscribed), active_(workers) {}

  // The same, with regions counted from `first_region` (for tests: the count starts again).
  ForkJoin(int workers, bool oversubscribed, uint32_t first_region)
      : ForkJoin(workers, oversubscribed) {
    first_epoch_ = first_region * kOneRegion;
    epoch_.store(first_epoch_, std::memory_order_relaxed);
    for (int w = 0; w < workers; ++w) mark(w, first_region);
  }

  // ---- The caller's side.

  // Runs job(context, w) for every active worker w and returns when all are done. A null job makes
  // workers return from serve().
  // A share that the caller took for a worker that did not come is told to late(worker).
  template <typename Late>
  void region(JobFunction job, void* context, Late late) {
    const int active = active_.load(std::memory_order_relaxed);
    if (is_alone() && job != nullptr) {
      for (int worker = 0; worker < active; ++worker) job(context, worker);
      if (--alone_ == 0) window_start_ = Clock::now();
      return;
    }
    job_ = job;
    context_ = context;
    const uint32_t region = start(active - 1);
    if (job != nullptr) {
      job(context, 0);
      for (int worker = 1; worker < active; ++worker) {
        if (!claim(worker, region)) continue;
        job(context, worker);
        late(worker);
        finish();
      }
    }
    wait_for_workers();
    if (++regions_ == kWindow) judge(active);
  }

  // Whether the caller does all of the next region.
  bool is_alone() const { return alone_ > 0; }

  // From now on regions are of the workers below `count`. Between regions only.
  void use(int count) {
    const int before = active_.load(std::memory_order_relaxed);
    const uint32_t region = region_of(epoch_.load(std::memory_order_relaxed));
    // Who joins looks as if it had done the last region; who leaves can claim none any more. A
    // worker learns it with the epoch of the next region, or with active_, by acquire.
    for (int w = before; w < count; ++w) mark(w, region);
    for (int w = count; w < before; ++w) mark(w, kNone);
    // seq_cst for the same reason as in start().
    active_.store(count, std::memory_order_seq_cst);
    if (count > before) active_.notify_all();
  }

  // Lets workers sleep at once.
  void rest() { epoch_.fetch_or(kRestBit, std::memory_order_relaxed); }

  // ---- The workers' side: shares of regions until the job is null. `serve(job, context)` does
  // one.

  template <typename Serve>
  void serve(int worker, Serve serve) {
    for (uint32_t seen = first_epoch_;;) {
      seen = wait_for_region(seen);
      if (!claim(worker, region_of(seen))) {
        park(worker);
        continue;
      }
      const JobFunction job = job_;
      if (job != nullptr) serve(job, context_);
      finish();
      if (job == nullptr) return;
    }
  }

 private:
  using Clock = std::chrono::steady_clock;

  // The bit says "rest": sleep without spinning first. The rest of the word counts regions, and
  // starts again from 0 after 2^31 of them, which is hours of a small model.
  static constexpr uint32_t kRestBit = 1;
  static constexpr uint32_t kOneRegion = 2;
  static constexpr uint32_t kRegionMask = UINT32_MAX / kOneRegion;
  static constexpr uint32_t kNone = UINT32_MAX;  // no region's number
  // Two lines of 64 bytes: Intel fetches them in pairs, so neighbours would still share.
  static constexpr size_t kLineBytes = 128;

  // Longer than the serial pieces of a decode step, short enough not to be seen in `top`.
  static constexpr auto kSpinTime = std::chrono::microseconds(80);
  // Of that, before it begins to yield. With one other busy process on two CPUs the scheduler
  // leaves both threads on one CPU for seconds: 20 us of work divided by two then took 180 us
  // without yielding and takes 30 us with it. Pinning the workers would prevent that sharing, and
  // took 4 ms, as a pinned worker waits for whole time slices; on a quiet machine it gained
  // nothing.
  static constexpr auto kPureSpinTime = std::chrono::microseconds(5);

  // Looks of the caller at the countdown before it takes the time that it waits: half a
  // microsecond, within which an undisturbed worker is done.
  static constexpr int kLooks = 16;
  // After so many regions the caller asks whether its workers were worth waiting for. If not it
  // goes on alone for as many, and for twice as many each time that the answer is the same.
  static constexpr int kWindow = 64;
  static constexpr int kLongestAlone = 64 * kWindow;

  static uint32_t region_of(uint32_t epoch) { return epoch / kOneRegion; }

  static void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("isb");  // as long as x86's pause; `yield` does nothing on these cores
#endif
  }

  // Spins until done() or the spin time is over; true if done. Soon it lets others have the CPU
  // between looks: one of them may be the thread that is waited for.
  template <typename Done>
  bool spin(Done done) const {
    const auto start = Clock::now();
    const auto yield_from = oversubscribed_ ? start : start + kPureSpinTime;
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

  // Whether a worker's share of this region is the caller's of claim() to do. Shares are claimed in
  // every region, so a worker that comes after its region is over finds a later number, and fails.
  // It reads the job only after it has claimed: until that share is done the job stays. Relaxed, as
  // the order of memory comes with epoch_ and remaining_.
  bool claim(int worker, uint32_t region) {
    std::atomic<uint32_t>& last = claims_[static_cast<size_t>(worker)].region;
    uint32_t before = (region - 1) & kRegionMask;
    return last.load(std::memory_order_relaxed) == before &&
           last.compare_exchange_strong(before, region, std::memory_order_relaxed);
  }

  void mark(int worker, uint32_t region) {
    claims_[static_cast<size_t>(worker)].region.store(region, std::memory_order_relaxed);
  }

  // The epoch of the next region after `seen`. Acquire: pairs with start()'s store, so the job and
  // all that the caller wrote before it are visible.
  uint32_t wait_for_region(uint32_t seen) const {
    uint32_t now = seen;
    const auto changed = [&] {
      now = epoch_.load(std::memory_order_acquire);
      return now != seen;
    };
    bool may_spin = true;
    while (region_of(now) == region_of(seen)) {
      if (now & kRestBit) may_spin = false;
      if (may_spin && spin(changed)) continue;
      epoch_.wait(now, std::memory_order_acquire);
      now = epoch_.load(std::memory_order_acquire);
    }
    return now;
  }

  // Sleeps while this worker is not active.
  void park(int worker) const {
    for (int now; (now = active_.load(std::memory_order_acquire)) <= worker;) {
      active_.wait(now, std::memory_order_acquire);
    }
  }

  // seq_cst: notify_all() makes its system call only if it sees a sleeper registered, and a sleeper
  // registers before it looks at the epoch; one of the two must see the other.
  uint32_t start(int workers) {
    remaining_.store(static_cast<uint32_t>(workers), std::memory_order_relaxed);
    const uint32_t next = (epoch_.load(std::memory_order_relaxed) | kRestBit) + 1;
    epoch_.store(next, std::memory_order_seq_cst);
    epoch_.notify_all();
    return region_of(next);
  }

  // The decrements form one release sequence: the caller's acquire of zero sees what every worker
  // wrote. seq_cst for the same reason as in start().
  void finish() {
    if (remaining_.fetch_sub(1, std::memory_order_seq_cst) == 1) remaining_.notify_one();
  }

  void wait_for_workers() {
    const auto done = [&] { return remaining_.load(std::memory_order_acquire) == 0; };
    for (int i = 0; i < kLooks; ++i) {
      if (done()) return;
      pause_cpu();
    }
    const auto start = Clock::now();
    if (!spin(done)) {
      uint32_t left;
      while ((left = remaining_.load(std::memory_order_acquire)) != 0) {
        remaining_.wait(left, std::memory_order_acquire);
      }
    }
    waited_ += Clock::now() - start;
  }

  // What the caller worked was at least an active-th of all. Alone it would have needed at most
  // `active` times that; a fifth is allowed for.
  void judge(int active) {
    const auto now = Clock::now();
    const double elapsed_s = std::chrono::duration<double>(now - window_start_).count();
    const double worked_s = elapsed_s - std::chrono::duration<double>(waited_).count();
    if (active > 1 && active * worked_s < 0.8 * elapsed_s) {
      alone_next_ = std::min(2 * alone_next_, kLongestAlone);
      alone_ = alone_next_;
    } else {
      alone_next_ = kWindow / 2;
    }
    regions_ = 0;
    waited_ = {};
    window_start_ = now;
  }

  // The job travels in the epoch's own line: a worker that saw the epoch has it already.
  alignas(kLineBytes) std::atomic<uint32_t> epoch_{0};
  JobFunction job_ = nullptr;
  void* context_ = nullptr;

  // The last region whose share of one worker was claimed, by that worker or by the caller.
  struct alignas(kLineBytes) Claim {
    std::atomic<uint32_t> region{0};
  };
  alignas(kLineBytes) std::vector<Claim> claims_;  // by worker
  const bool oversubscribed_;
  uint32_t first_epoch_ = 0;
  alignas(kLineBytes) std::atomic<uint32_t> remaining_{0};
  alignas(kLineBytes) std::atomic<int> active_;

  // The caller's alone.
  alignas(kLineBytes) int regions_ = 0;  // of this window
  int alone_ = 0;                        // regions still to be done alone
  int alone_next_ = kWindow / 2;
  Clock::duration waited_{};  // in this window
  Clock::time_point window_start_ = Clock::now();
};

}  // namespace nibble
