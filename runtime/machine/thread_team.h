// A team of persistent workers that run one parallel region after the other.
//
// The only place where oneTBB is named (thread_team.cpp). TBB does not promise that its workers run
// at the same time, so the team counts which workers really arrived and fixes its size then; a
// region is a static fork and join over those (fork_join.h). Workers spin for a short while between
// regions and then sleep, so that an idle program uses no CPU. Where they may run and how much each
// does is the plan's (team_plan.h).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "nibble/result.h"
#include "runtime/machine/cpu_binding.h"
#include "runtime/machine/team_plan.h"
#include "runtime/machine/worker_shares.h"

namespace nibble {

class ThreadTeam {
 public:
  // `threads` (1 to 1024, else error 64) includes the caller's own. Where the system gives fewer,
  // the team is smaller, and size() and notes() say so.
  static Result<std::unique_ptr<ThreadTeam>> create(int threads);
  // The workers of the plan, each where the plan wants it. All of them are active.
  static Result<std::unique_ptr<ThreadTeam>> create(const TeamPlan& plan);
  ~ThreadTeam();

  int size() const;      // workers in a region now
  int capacity() const;  // workers there are
  // From now on regions are of the first `workers` (at least 1, at most capacity()); the others
  // sleep. Between regions only.
  void use(int workers);
  const TeamPlan& plan() const;
  int nodes() const;  // memory nodes that the workers in a region are on

  // Keeps the calling thread, worker 0 of the regions, where the plan wants it; then it is free
  // again.
  class Caller {
   public:
    explicit Caller(const ThreadTeam& team);

   private:
    CpuBinding binding_;
  };

  // The worker's part of `count` things in units of `unit`: contiguous, disjoint, covering. Even
  // parts, or by the workers' speeds where cores differ; the same for all calls of one region.
  Range range(size_t count, size_t unit, int worker) const;
  // The parts of all workers of a node together.
  Range range_of_node(size_t count, size_t unit, int node) const;

  // Why the team is smaller than asked for, if it is.
  const std::vector<std::string>& notes() const;

  // Calls fn(worker) once for every worker, 0 (the caller) .. size()-1, each on its own thread, and
  // returns when all are done; the share of a worker that has not come by the time the caller is
  // done with its own, the caller does too. So fn must not wait for another worker. Everything
  // written before is seen inside, and the reverse. One region at a time: not to be called from
  // inside a region or from two threads. fn must not throw.
  template <typename F>
  void run(F&& fn) {
    using Fn = std::remove_reference_t<F>;
    run_impl([](void* context, int worker) { (*static_cast<Fn*>(context))(worker); },
             const_cast<void*>(static_cast<const void*>(&fn)));
  }

  // Items [0, count) handed out in chunks of `unit` as workers become free; fn(Range, worker). For
  // work whose pieces differ in cost (prefill). The pieces are the same for any team size.
  template <typename F>
  void run_dynamic(size_t count, size_t unit, F&& fn) {
    using Fn = std::remove_reference_t<F>;
    run_dynamic_impl(
        count, unit,
        [](void* context, Range range, int worker) { (*static_cast<Fn*>(context))(range, worker); },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

  // Lets workers sleep at once (before waiting for a person or a request).
  void rest();

 private:
  ThreadTeam(const TeamPlan& plan, bool oversubscribed);
  void run_impl(void (*fn)(void*, int), void* context);
  void run_dynamic_impl(size_t count, size_t unit, void (*fn)(void*, Range, int), void* context);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble
