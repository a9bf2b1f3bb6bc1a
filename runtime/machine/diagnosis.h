// What limits this machine, and what would help: `nibble doctor`.
//
// Each finding has an estimated gain, so that the one change that helps most comes first. The
// estimates are ratios of what was measured where there are such (clock now and at most, quota and
// cores, waiting time), else what was seen on other machines; they order, they do not promise.
// Read next: condition.h, probe.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/machine/condition.h"
#include "runtime/machine/topology.h"
#include "simd/cpu.h"

namespace nibble {

struct Finding {
  std::string what;      // "the clock is held down"
  std::string evidence;  // "1200 of 2400 MHz under load; governor powersave"
  std::string remedy;    // what to do; empty: nothing can be done on this machine
  double gain = 1;       // speed afterwards over speed now, estimated
};

struct MachineState {
  Topology topology;
  MachineCondition condition;  // read while it was busy
  CpuFeatures features = 0;
  uint64_t page_bytes = 4096;
  double read_gb_per_s = 0;  // measured; 0: not
  double stolen = 0;         // share of CPU time that a hypervisor gave to others meanwhile
};

// Findings that can be remedied come first, those that gain most before the others.
std::vector<Finding> diagnose(const MachineState& machine);

}  // namespace nibble
