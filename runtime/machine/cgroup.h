// The limits that the process's control groups set, v1 and v2, nested or not.
//
// Containers show all the machine's CPUs and memory in /proc; what may really be used stands in the
// cgroup files alone. Read next: topology.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nibble {

struct CgroupLimits {
  double cpu_quota = 0;             // CPUs' worth of time; 0: none
  uint64_t memory_limit_bytes = 0;  // 0: none
  std::vector<std::string> notes;   // files that say what they should not
};

// The smallest limits between the process's group and the root. `sys_root` as in detect_topology().
CgroupLimits read_cgroup_limits(const std::string& sys_root = "");

// The start of a small text file as /proc and /sys have them (up to 1 MiB); nothing if unreadable.
std::optional<std::string> read_system_file(const std::string& path);

}  // namespace nibble
