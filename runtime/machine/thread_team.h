// A team of persistent workers that run one parallel region after the other.
//
// The only place where oneTBB is named (thread_team.cpp). TBB does not promise that its workers run
// at the same time, so the team counts which workers really arrived and fixes its size then; a
// region is a static fork and join over those, by one epoch counter. Workers spin for a short while
// between regions and then sleep, so that an idle program uses no CPU.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "nibble/result.h"

namespace nibble {

struct Range {
  size_t begin = 0;
  size_t end = 0;
  bool empty() const { return begin >= end; }
};

// Part `index` of `parts` of `count` things in units of `unit`: contiguous, disjoint, covering, and
// as even as whole units allow.
Range split_range(size_t count, size_t unit, int index, int parts);

class ThreadTeam {
 public:
  // `threads` (1 to 1024, else error 64) includes the caller's own. Where the system gives fewer,
  // the team is smaller, and size() and notes() say so.
  static Result<std::unique_ptr<ThreadTeam>> create(int threads);
  ~ThreadTeam();

  int size() const;
  // Why the team is smaller than asked for, if it is.
  const std::vector<std::string>& notes() const;

  // Calls fn(worker) on every worker, 0 (the caller) .. size()-1, at the same time, and returns
  // when all are done; everything written before is seen inside, and the reverse. One region at a
  // time: not to be called from inside a region or from two threads. fn must not throw.
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
  ThreadTeam();
  void run_impl(void (*fn)(void*, int), void* context);
  void run_dynamic_impl(size_t count, size_t unit, void (*fn)(void*, Range, int), void* context);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble
