// What a reader of the figures has to know about the machine and the build.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/machine/topology.h"

namespace nibble {

// Of the caches that are last on their way to memory, all together that this process can use;
// 0: unknown.
uint64_t last_level_cache_bytes(const Topology& topology);

// Weights of a cold benchmark: four times the last-level cache, so that little of it is still there
// when its turn comes again, at least 256 MiB; but at most half of the memory that is free, with a
// note for that.
size_t default_cold_mib(const Topology& topology, std::string* note);

// "cpu", "isa_levels", "governor", "commit", "compiler", "version", "pages", "llc_mib".
std::map<std::string, std::string> machine_facts(const Topology& topology,
                                                 const std::vector<int>& cpus);

}  // namespace nibble
