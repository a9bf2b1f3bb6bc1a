#include "bench/pinning.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <tuple>

namespace nibble {

std::vector<int> choose_cpus(const Topology& topology, int threads) {
  std::map<int, int> siblings;                   // by core, so far
  std::vector<std::tuple<int, int, int>> order;  // first by sibling, then by kind
  for (const CpuInfo& cpu : topology.cpus) {
    order.emplace_back(siblings[cpu.core]++, -cpu.core_kind, cpu.os_index);
  }
  std::sort(order.begin(), order.end());
  std::vector<int> cpus;
  if (order.size() < static_cast<size_t>(threads)) return cpus;
  for (const auto& [sibling, kind, os_index] : order) cpus.push_back(os_index);
  cpus.resize(static_cast<size_t>(threads));
  return cpus;
}

std::string pin_team(ThreadTeam* team, const std::vector<int>& cpus) {
  if (cpus.size() < static_cast<size_t>(team->size())) return "none: more threads than CPUs";
  std::atomic<bool> pinned{true};
  team->run([&](int worker) {
    cpu_set_t set;
    CPU_ZERO(&set);
    const int cpu = cpus[static_cast<size_t>(worker)];
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) pinned = false;
  });
  if (!pinned) return "none: the system refuses";
  std::string names;
  for (int i = 0; i < team->size(); ++i) {
    if (i > 0) names += ',';
    names += std::to_string(cpus[static_cast<size_t>(i)]);
  }
  return names;
}

}  // namespace nibble
