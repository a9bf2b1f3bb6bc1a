// What Linux itself tells of processors, for machines of which hwloc tells less or nothing.
//
// Read next: topology.h, whose detection starts with hwloc.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "runtime/machine/topology.h"

namespace nibble {

// Cores, packages, nodes and caches of the CPUs in `usable`, by the files of cpuN/ and node/. False
// when /sys does not tell of every one of them: `result` is then unchanged.
bool read_sysfs_topology(const std::string& sys_root, const std::set<int>& usable,
                         Topology* result);

// What distinguishes the kinds of cores of an ARM board, for each of `cpus` (larger: faster): the
// kernel's cpu_capacity (1024 is the fastest of the machine), else the highest clock, halved for
// cores that MIDR names as ARM's small ones. All equal where the system tells neither.
std::vector<long> sysfs_capacities(const std::string& sys_root, const std::vector<CpuInfo>& cpus);

}  // namespace nibble
