// What the machine has and what this process may use of it.
//
// hwloc tells packages, NUMA nodes, cores, SMT siblings, caches and core kinds; that is intersected
// with the affinity mask (which obeys the cpuset) and the cgroup v1/v2 CPU quota. Where hwloc tells
// nothing /sys is read, and where that is hidden the answer is one flat node, with a note, never a
// failure. hwloc is named in topology.cpp only. Read next: team_plan.h, what is made of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nibble {

struct CacheInfo {
  int level = 0;  // 1, 2, 3
  uint64_t size_bytes = 0;
  int count = 0;  // how many of them this process can use
  int shared_by_cpus = 0;
};

struct CpuInfo {
  int os_index = 0;
  int core = 0;  // logical core, siblings share it
  int package = 0;
  int node = 0;       // NUMA node
  int core_kind = 0;  // 0 = the least efficient for work ... highest = performance cores
};

struct Topology {
  std::vector<CpuInfo> cpus;  // those this process may run on
  int packages = 1;
  int nodes = 1;
  int cores = 1;  // physical, usable
  int core_kinds = 1;
  std::vector<int> node_ids = {};  // by `node`: the system's number of it
  // By kind: speed as a share of the fastest kind's, guessed from clocks and capacities.
  std::vector<double> kind_speeds = {};
  std::string board;  // "Raspberry Pi 5 Model B Rev 1.0", where a device tree says so
  std::vector<CacheInfo> caches;
  uint64_t memory_bytes = 0;        // of the machine
  uint64_t memory_limit_bytes = 0;  // of the cgroup; 0: none
  double cpu_quota = 0;             // CPUs' worth of time by the cgroup; 0: none
  std::vector<std::string> notes;   // what could not be found out and what was assumed

  // Threads to use unless the user says otherwise (plan_team()): for tokens and for prompts.
  int default_threads() const;
  int default_prompt_threads() const;
};

// Asks hwloc and the system. `sys_root` is for tests: a directory in place of "/".
Topology detect_topology(const std::string& sys_root = "");

}  // namespace nibble
