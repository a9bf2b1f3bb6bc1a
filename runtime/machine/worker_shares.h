// Which part of a range each worker of a team gets: even parts, or parts by speed.
//
// Where cores differ, a static split must follow their speeds, or all wait for the slowest. The
// speeds start as measured (core_speed.h) and are corrected while running: throttling and
// neighbours change them. Used by the caller's thread between regions, but for range() and
// add_time(), which workers call inside one. Read next: thread_team.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nibble {

struct Range {
  size_t begin = 0;
  size_t end = 0;
  bool empty() const { return begin >= end; }
};

// Part `index` of `parts` of `count` things in units of `unit`: contiguous, disjoint, covering, and
// as even as whole units allow.
Range split_range(size_t count, size_t unit, int index, int parts);

class WorkerShares {
 public:
  // Even parts for ever; nothing is timed.
  WorkerShares() = default;
  // Parts by speed, one for each worker, all positive.
  explicit WorkerShares(const std::vector<double>& speeds);

  bool by_speed() const { return !workers_.empty(); }
  // From now on the first `active` workers share.
  void use(int active);
  // Worker's part of `count` things in units of `unit`.
  Range range(size_t count, size_t unit, int worker) const {
    return by_speed() ? range_by_speed(count, unit, worker)
                      : split_range(count, unit, worker, active_);
  }

  // Worker spent so long on its part of a region.
  void add_time(int worker, uint64_t nanoseconds) {
    workers_[static_cast<size_t>(worker)].nanoseconds += nanoseconds;
  }
  // A region is over; after some of them the speeds are corrected.
  void end_region();

  // Share of the whole that a worker has.
  double share(int worker) const;

 private:
  struct alignas(128) Worker {  // written by its own thread
    uint64_t nanoseconds = 0;   // since the last correction
    double speed = 1;
  };
  Range range_by_speed(size_t count, size_t unit, int worker) const;
  void correct();

  int active_ = 1;
  int regions_ = 0;
  std::vector<Worker> workers_;
  std::vector<double> ends_;  // where worker's part ends, of 1
};

}  // namespace nibble
