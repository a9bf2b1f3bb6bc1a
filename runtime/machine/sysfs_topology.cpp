// Files and meanings: Documentation/ABI/testing/sysfs-devices-system-cpu of the kernel.
#include "runtime/machine/sysfs_topology.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

#include "runtime/machine/cgroup.h"
#include "runtime/machine/cpu_list.h"

namespace nibble {
namespace {

std::string cpu_directory(const std::string& sys_root, int cpu) {
  return sys_root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
}

std::optional<long> read_number(const std::string& path, int base = 10) {
  const auto text = read_system_file(path);
  if (!text) return std::nullopt;
  char* end = nullptr;
  const long value = std::strtol(text->c_str(), &end, base);
  if (end == text->c_str() || value < 0) return std::nullopt;
  return value;
}

std::optional<std::set<int>> read_list(const std::string& path) {
  const auto text = read_system_file(path);
  return text ? parse_cpu_list(*text) : std::nullopt;
}

// The CPUs that are the same core, by the name of the file since Linux 5.2 and by that before.
std::optional<std::set<int>> siblings(const std::string& directory) {
  auto list = read_list(directory + "/topology/core_cpus_list");
  return list ? list : read_list(directory + "/topology/thread_siblings_list");
}

// The memory node of each CPU; empty without node/.
std::map<int, int> nodes_of_cpus(const std::string& sys_root) {
  std::map<int, int> nodes;
  const std::string directory = sys_root + "/sys/devices/system/node/";
  const auto online = read_list(directory + "online");
  if (!online) return nodes;
  for (const int node : *online) {
    const auto cpus = read_list(directory + "node" + std::to_string(node) + "/cpulist");
    for (const int cpu : cpus.value_or(std::set<int>())) nodes[cpu] = node;
  }
  return nodes;
}

// "32K", "8192K", "1M"
uint64_t size_of(const std::string& text) {
  char* unit = nullptr;
  const unsigned long long number = std::strtoull(text.c_str(), &unit, 10);
  if (number > (uint64_t{1} << 40)) return 0;
  return number << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : *unit == 'G' ? 30 : 0);
}

void read_caches(const std::string& sys_root, const std::set<int>& usable, Topology* result) {
  std::set<std::pair<int, std::set<int>>> seen;  // level and CPUs: one cache
  std::map<std::array<uint64_t, 3>, int> counts;
  for (const int cpu : usable) {
    for (int index = 0; index < 16; ++index) {
      const std::string cache =
          cpu_directory(sys_root, cpu) + "/cache/index" + std::to_string(index);
      const auto type = read_system_file(cache + "/type");
      if (!type) break;
      const auto level = read_number(cache + "/level");
      const auto size = read_system_file(cache + "/size");
      const auto shared = read_list(cache + "/shared_cpu_list");
      if (type->starts_with("Instruction") || !level || !size || !shared) continue;
      if (!seen.emplace(static_cast<int>(*level), *shared).second) continue;
      ++counts[{static_cast<uint64_t>(*level), size_of(*size), shared->size()}];
    }
  }
  for (const auto& [what, count] : counts) {
    result->caches.push_back(
        {static_cast<int>(what[0]), what[1], count, static_cast<int>(what[2])});
  }
}

// ARM's small cores (part numbers of MIDR_EL1, implementer 0x41): A53, A35, A55, A510, A520.
bool is_small_arm_core(long midr) {
  constexpr std::array<long, 5> kSmall = {0xd03, 0xd04, 0xd05, 0xd46, 0xd80};
  return midr >> 24 == 0x41 &&
         std::find(kSmall.begin(), kSmall.end(), midr >> 4 & 0xfff) != kSmall.end();
}

}  // namespace

bool read_sysfs_topology(const std::string& sys_root, const std::set<int>& usable,
                         Topology* result) {
  const std::map<int, int> node_of = nodes_of_cpus(sys_root);
  std::map<std::set<int>, int> cores;
  std::map<long, int> packages;
  std::map<int, int> nodes;
  std::vector<CpuInfo> cpus;
  for (const int os_index : usable) {
    const std::string directory = cpu_directory(sys_root, os_index);
    const auto same = siblings(directory);
    if (!same || !same->contains(os_index)) return false;
    // Boards write -1 where the firmware names no package: all of them are one.
    const long package = read_number(directory + "/topology/physical_package_id").value_or(0);
    const auto node = node_of.find(os_index);
    const int node_id = node != node_of.end() ? node->second : 0;
    CpuInfo cpu;
    cpu.os_index = os_index;
    cpu.core = cores.emplace(*same, static_cast<int>(cores.size())).first->second;
    cpu.package = packages.emplace(package, static_cast<int>(packages.size())).first->second;
    cpu.node = nodes.emplace(node_id, static_cast<int>(nodes.size())).first->second;
    if (static_cast<size_t>(cpu.node) == result->node_ids.size()) {
      result->node_ids.push_back(node_id);
    }
    cpus.push_back(cpu);
  }
  if (cpus.empty()) return false;
  result->cpus = std::move(cpus);
  result->cores = static_cast<int>(cores.size());
  result->packages = static_cast<int>(packages.size());
  result->nodes = static_cast<int>(nodes.size());
  read_caches(sys_root, usable, result);
  return true;
}

std::vector<long> sysfs_capacities(const std::string& sys_root, const std::vector<CpuInfo>& cpus) {
  std::vector<long> capacities;
  std::vector<long> clocks;
  std::vector<bool> small;
  for (const CpuInfo& cpu : cpus) {
    const std::string directory = cpu_directory(sys_root, cpu.os_index);
    const auto add = [&](const char* file, std::vector<long>* to) {
      if (const auto number = read_number(directory + file)) to->push_back(*number);
    };
    add("/cpu_capacity", &capacities);
    add("/cpufreq/cpuinfo_max_freq", &clocks);
    const auto midr = read_number(directory + "/regs/identification/midr_el1", 16);
    small.push_back(is_small_arm_core(midr.value_or(0)));
  }
  if (capacities.size() == cpus.size()) return capacities;
  if (clocks.size() != cpus.size()) clocks.assign(cpus.size(), 2);  // told of some alone: no help
  for (size_t i = 0; i < cpus.size(); ++i) {
    if (small[i]) clocks[i] /= 2;
  }
  return clocks;
}

}  // namespace nibble
