// Which CPU each thread of a bench stays on. The runtime pins no thread to a single CPU
// (runtime/machine/fork_join.h tells why); a bench wants the same core in every run.
#pragma once

#include <string>
#include <vector>

#include "runtime/machine/thread_team.h"
#include "runtime/machine/topology.h"

namespace nibble {

// One CPU of each core before siblings, performance cores before others, the order of the system
// otherwise. Empty when there are fewer CPUs than threads.
std::vector<int> choose_cpus(const Topology& topology, int threads);

// Pins worker i to cpus[i], the caller's thread included. "0,2", or "none: WHY" where the system
// or the number of threads did not allow it.
std::string pin_team(ThreadTeam* team, const std::vector<int>& cpus);

}  // namespace nibble
