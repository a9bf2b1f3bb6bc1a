// Keeping a thread on some CPUs for a while.
#pragma once

#include <sched.h>

#include <set>

namespace nibble {

// The calling thread stays on `cpus` as long as this lives; then it may run where it could before.
// No CPUs, or CPUs that the system refuses: nothing changes.
class CpuBinding {
 public:
  explicit CpuBinding(const std::set<int>& cpus) {
    if (cpus.empty() || sched_getaffinity(0, sizeof(before_), &before_) != 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : cpus) {
      if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(static_cast<size_t>(cpu), &set);
    }
    bound_ = sched_setaffinity(0, sizeof(set), &set) == 0;
  }
  CpuBinding(const CpuBinding&) = delete;
  CpuBinding& operator=(const CpuBinding&) = delete;
  ~CpuBinding() {
    if (bound_) sched_setaffinity(0, sizeof(before_), &before_);
  }

 private:
  cpu_set_t before_;
  bool bound_ = false;
};

}  // namespace nibble
