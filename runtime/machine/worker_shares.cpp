#include "runtime/machine/worker_shares.h"

#include <algorithm>
#include <cmath>

#include "runtime/file/check.h"

namespace nibble {
namespace {

// Regions between corrections: some tokens, so that one interrupted region does not count much.
constexpr int kRegionsOfACorrection = 256;
// Workers that end within so much of each other stay as they are.
constexpr double kUnevenness = 1.04;
// A worker keeps at least this part of an even share, or nothing would tell that it recovered.
constexpr double kLeastShare = 0.05;

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

WorkerShares::WorkerShares(const std::vector<double>& speeds) : workers_(speeds.size()) {
  for (size_t i = 0; i < speeds.size(); ++i) {
    NIBBLE_CHECK(speeds[i] > 0);
    workers_[i].speed = speeds[i];
  }
  ends_.reserve(speeds.size());
  use(static_cast<int>(speeds.size()));
}

void WorkerShares::use(int active) {
  active_ = active;
  if (!by_speed()) return;
  double sum = 0;
  for (int i = 0; i < active; ++i) sum += workers_[static_cast<size_t>(i)].speed;
  ends_.resize(static_cast<size_t>(active));
  double end = 0;
  for (int i = 0; i < active; ++i) {
    end += workers_[static_cast<size_t>(i)].speed / sum;
    ends_[static_cast<size_t>(i)] = end;
  }
  ends_.back() = 1;
  for (Worker& worker : workers_) worker.nanoseconds = 0;
  regions_ = 0;
}

double WorkerShares::share(int worker) const {
  if (!by_speed()) return 1.0 / active_;
  const auto w = static_cast<size_t>(worker);
  return ends_[w] - (w == 0 ? 0 : ends_[w - 1]);
}

Range WorkerShares::range_by_speed(size_t count, size_t unit, int worker) const {
  NIBBLE_CHECK(unit > 0 && worker >= 0 && worker < active_);
  const size_t units = count / unit + (count % unit != 0);
  const auto bound = [&](int i) {
    if (i == active_) return count;
    const double end = i == 0 ? 0 : ends_[static_cast<size_t>(i) - 1];
    const auto whole = static_cast<size_t>(std::llround(end * static_cast<double>(units)));
    return std::min(std::min(whole, units) * unit, count);
  };
  return {bound(worker), bound(worker + 1)};
}

void WorkerShares::end_region() {
  if (++regions_ < kRegionsOfACorrection) return;
  correct();
  use(active_);
}

// A worker's speed is its share over the time that it took for it. Half of the way is gone at once:
// a disturbance of a moment is forgotten as fast as it came.
void WorkerShares::correct() {
  double longest = 0;
  double sum = 0;
  double seen_sum = 0;
  double speed_sum = 0;  // stays: the others' speeds are on the same scale
  for (int i = 0; i < active_; ++i) {
    const auto time = static_cast<double>(workers_[static_cast<size_t>(i)].nanoseconds);
    if (time <= 0) return;
    longest = std::max(longest, time);
    sum += time;
    seen_sum += share(i) / time;
    speed_sum += workers_[static_cast<size_t>(i)].speed;
  }
  if (longest < kUnevenness * sum / active_) return;
  for (int i = 0; i < active_; ++i) {
    Worker& worker = workers_[static_cast<size_t>(i)];
    const double seen = share(i) / static_cast<double>(worker.nanoseconds) / seen_sum;
    const double corrected = (share(i) + seen) / 2;
    worker.speed = std::max(corrected, kLeastShare / active_) * speed_sum;
  }
}

}  // namespace nibble
