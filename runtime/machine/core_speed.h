// How fast each kind of core does the work of decoding, measured once and remembered.
//
// Only for machines whose cores differ: elsewhere nothing is measured. What the measurement misses
// (memory shared with others, heat, neighbours) the team corrects while it runs (worker_shares.h).
// Read next: team_plan.h.
#pragma once

#include <string>
#include <vector>

#include "runtime/machine/topology.h"
#include "simd/cpu.h"

namespace nibble {

// Speed of each core kind as a share of the fastest's, by the matrix kernel that `features` choose,
// on weights that stay in a core's own caches. About 5 ms a kind.
std::vector<double> measure_core_speeds(const Topology& machine, CpuFeatures features);

// The same from `directory`/core-speeds, where they are kept for this machine (CPU, kinds, kernel);
// measured and kept if they are not there, or what is there is not a speed. A directory that cannot
// be written, or an empty name, means measuring each time.
std::vector<double> core_speeds(const Topology& machine, CpuFeatures features,
                                const std::string& directory);

}  // namespace nibble
