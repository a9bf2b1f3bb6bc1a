// Detection (see topology.h): hwloc's tree, or what sysfs_topology.h reads, cut to the CPUs this
// process may run on, and the limits of its control groups (cgroup.h). Ids of cores, packages and
// nodes are renumbered from 0 over what is usable.
#include "runtime/machine/topology.h"

#include <hwloc.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "runtime/machine/cgroup.h"
#include "runtime/machine/cpu_list.h"
#include "runtime/machine/sysfs_topology.h"
#include "runtime/machine/team_plan.h"

namespace nibble {
namespace {

struct DestroyTopology {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using HwlocTopology = std::unique_ptr<hwloc_topology, DestroyTopology>;

// What follows "key" on its line in a /proc file.
std::optional<std::string> field(const std::optional<std::string>& text, const std::string& key) {
  if (!text) return std::nullopt;
  const size_t start = ("\n" + *text).find("\n" + key);
  if (start == std::string::npos) return std::nullopt;
  const size_t value = start + key.size();
  return text->substr(value, text->find('\n', value) - value);
}

std::set<int> affinity_mask() {
  std::set<int> cpus;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.insert(cpu);
    }
  }
  if (cpus.empty()) cpus.insert(0);
  return cpus;
}

// The affinity mask less the CPUs that are switched off.
std::set<int> allowed_cpus(const std::string& sys_root, std::vector<std::string>* notes) {
  std::optional<std::set<int>> allowed;
  if (auto list = field(read_system_file(sys_root + "/proc/self/status"), "Cpus_allowed_list:")) {
    allowed = parse_cpu_list(*list);
  }
  if (!allowed) {
    notes->push_back("/proc/self/status does not tell the affinity mask: asked the kernel itself");
    allowed = affinity_mask();
  }
  const auto online_text = read_system_file(sys_root + "/sys/devices/system/cpu/online");
  const auto online = online_text ? parse_cpu_list(*online_text) : std::nullopt;
  if (!online) return *allowed;
  std::set<int> both;
  std::set_intersection(allowed->begin(), allowed->end(), online->begin(), online->end(),
                        std::inserter(both, both.end()));
  return both.empty() ? *allowed : both;
}

HwlocTopology load_hwloc(const std::string& sys_root) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return nullptr;
  HwlocTopology topology(raw);
  // A directory in place of "/" brings its machine as hwloc writes it; without one it has no hwloc.
  const std::string xml = sys_root + "/hwloc.xml";
  if (!sys_root.empty() && hwloc_topology_set_xml(raw, xml.c_str()) != 0) return nullptr;
  if (hwloc_topology_load(raw) != 0) return nullptr;
  return topology;
}

// Position of the key among the keys seen so far.
int dense_index(std::map<unsigned, int>* seen, unsigned key) {
  return seen->emplace(key, static_cast<int>(seen->size())).first->second;
}

unsigned ancestor_index(hwloc_topology_t topology, hwloc_obj_t pu, hwloc_obj_type_t type,
                        unsigned otherwise) {
  const hwloc_obj_t object = hwloc_get_ancestor_obj_by_type(topology, type, pu);
  return object != nullptr ? object->logical_index : otherwise;
}

// hwloc sorts kinds by efficiency, the fastest last, but only where it knows their order.
long kind_of(hwloc_topology_t topology, hwloc_obj_t pu, long* clock) {
  const int kind = hwloc_cpukinds_get_by_cpuset(topology, pu->cpuset, 0);
  int efficiency = -1;
  unsigned infos = 0;
  hwloc_info_s* info = nullptr;
  if (kind < 0 || hwloc_cpukinds_get_info(topology, static_cast<unsigned>(kind), nullptr,
                                          &efficiency, &infos, &info, 0) != 0) {
    return 0;
  }
  long small = 1;
  for (unsigned i = 0; i < infos; ++i) {
    if (std::string_view(info[i].name) == "FrequencyMaxMHz") *clock = std::atol(info[i].value);
    if (std::string_view(info[i].value) == "IntelAtom") small = 2;
  }
  *clock /= small;
  return std::max(efficiency, 0);
}

// Renumbers the kinds from 0 and guesses their speeds: `speed` of a CPU where it is told, else half
// of the next faster kind's. Measuring them (core_speed.h) is better.
void number_kinds(const std::vector<long>& kind, const std::vector<long>& speed, Topology* result) {
  std::map<long, long> speeds;  // of the kinds, slowest first
  for (size_t i = 0; i < kind.size(); ++i) {
    speeds[kind[i]] = std::max(speeds[kind[i]], speed[i]);
  }
  for (size_t i = 0; i < kind.size(); ++i) {
    result->cpus[i].core_kind =
        static_cast<int>(std::distance(speeds.begin(), speeds.find(kind[i])));
  }
  result->core_kinds = static_cast<int>(speeds.size());
  result->kind_speeds.clear();
  const long fastest = speeds.rbegin()->second;
  const bool told =
      std::all_of(speeds.begin(), speeds.end(), [](const auto& each) { return each.second > 0; });
  double guess = 2;
  for (auto each = speeds.rbegin(); each != speeds.rend(); ++each) {
    guess /= 2;
    const double relative = static_cast<double>(each->second) / static_cast<double>(fastest);
    result->kind_speeds.insert(result->kind_speeds.begin(), told ? std::min(1.0, relative) : guess);
  }
}

// Kinds by the capacities that the system tells, where hwloc sees one kind alone. Cores within a
// tenth of each other are one kind: the clocks of equal cores differ that much.
void read_capacities(const std::string& sys_root, Topology* result) {
  const std::vector<long> capacities = sysfs_capacities(sys_root, result->cpus);
  std::vector<long> sorted = capacities;
  std::sort(sorted.begin(), sorted.end());
  std::vector<long> kinds;
  for (const long capacity : capacities) {
    long start = sorted.front();  // of this one's kind
    for (const long other : sorted) {
      if (other <= capacity && other > start + start / 10) start = other;
    }
    kinds.push_back(start);
  }
  number_kinds(kinds, capacities, result);
}

void read_cpus(hwloc_topology_t topology, const std::set<int>& allowed, bool one_node,
               Topology* result) {
  std::map<unsigned, int> cores, packages, nodes;
  std::vector<long> kinds, clocks;
  for (hwloc_obj_t pu = nullptr;
       (pu = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PU, pu)) != nullptr;) {
    const int os_index = static_cast<int>(pu->os_index);
    if (allowed.count(os_index) == 0) continue;
    CpuInfo cpu;
    cpu.os_index = os_index;
    cpu.core = dense_index(
        &cores, ancestor_index(topology, pu, HWLOC_OBJ_CORE, (1u << 30) + pu->logical_index));
    cpu.package = dense_index(&packages, ancestor_index(topology, pu, HWLOC_OBJ_PACKAGE, 0));
    // The first of several is the ordinary memory; high-bandwidth memory comes after it.
    const int first = pu->nodeset != nullptr ? hwloc_bitmap_first(pu->nodeset) : 0;
    const int node = one_node ? 0 : std::max(first, 0);
    cpu.node = dense_index(&nodes, static_cast<unsigned>(node));
    if (static_cast<size_t>(cpu.node) == result->node_ids.size()) result->node_ids.push_back(node);
    clocks.push_back(0);
    kinds.push_back(kind_of(topology, pu, &clocks.back()));
    result->cpus.push_back(cpu);
  }
  if (result->cpus.empty()) return;
  result->cores = static_cast<int>(cores.size());
  result->packages = static_cast<int>(packages.size());
  result->nodes = static_cast<int>(nodes.size());
  number_kinds(kinds, clocks, result);
}

void read_caches(hwloc_topology_t topology, Topology* result) {
  const auto usable = [&](hwloc_const_bitmap_t cpuset) {
    return std::any_of(result->cpus.begin(), result->cpus.end(), [&](const CpuInfo& cpu) {
      return hwloc_bitmap_isset(cpuset, static_cast<unsigned>(cpu.os_index));
    });
  };
  for (const hwloc_obj_type_t type :
       {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE}) {
    for (hwloc_obj_t cache = nullptr;
         (cache = hwloc_get_next_obj_by_type(topology, type, cache)) != nullptr;) {
      if (!usable(cache->cpuset)) continue;
      CacheInfo info;
      info.level = static_cast<int>(cache->attr->cache.depth);
      info.size_bytes = cache->attr->cache.size;
      info.shared_by_cpus = std::max(1, hwloc_bitmap_weight(cache->cpuset));
      auto same = std::find_if(result->caches.begin(), result->caches.end(), [&](const auto& c) {
        return c.level == info.level && c.size_bytes == info.size_bytes &&
               c.shared_by_cpus == info.shared_by_cpus;
      });
      if (same == result->caches.end()) same = result->caches.insert(same, info);
      ++same->count;
    }
  }
}

// One package, one node, each CPU its own core.
void assume_flat(const std::set<int>& allowed, Topology* result) {
  for (const int os_index : allowed) {
    CpuInfo cpu;
    cpu.os_index = os_index;
    cpu.core = static_cast<int>(result->cpus.size());
    result->cpus.push_back(cpu);
  }
  result->cores = static_cast<int>(result->cpus.size());
  result->notes.push_back(
      "neither hwloc nor /sys tells about this machine: one node assumed, each CPU taken for a "
      "core");
}

void one_node(Topology* result) {
  for (CpuInfo& cpu : result->cpus) cpu.node = 0;
  result->nodes = 1;
  result->node_ids = {0};
}

// A cpuset can forbid the memory of a node whose CPUs may be used.
void memory_nodes(const std::string& sys_root, Topology* result) {
  const auto text = field(read_system_file(sys_root + "/proc/self/status"), "Mems_allowed_list:");
  const auto allowed = text ? parse_cpu_list(*text) : std::nullopt;
  if (!allowed || result->nodes == 1) return;
  for (const int node : result->node_ids) {
    if (allowed->contains(node)) continue;
    result->notes.push_back("this process may not use the memory of node " + std::to_string(node) +
                            " (cpuset): one node assumed");
    return one_node(result);
  }
}

uint64_t machine_memory(const std::string& sys_root, std::vector<std::string>* notes) {
  if (auto text = field(read_system_file(sys_root + "/proc/meminfo"), "MemTotal:")) {
    const uint64_t kib = std::strtoull(text->c_str(), nullptr, 10);
    if (kib > 0 && kib < (uint64_t{1} << 50)) return kib * 1024;
  }
  notes->push_back("/proc/meminfo cannot be read: memory size asked from the C library");
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  return pages > 0 && page_bytes > 0
             ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes)
             : 0;
}

}  // namespace

int Topology::default_threads() const {
  return plan_team(*this, {})->decoders;
}

int Topology::default_prompt_threads() const {
  return plan_team(*this, {})->readers;
}

Topology detect_topology(const std::string& sys_root) {
  Topology result;
  const std::set<int> allowed = allowed_cpus(sys_root, &result.notes);

  const auto command_line = read_system_file(sys_root + "/proc/cmdline");
  const bool fake_nodes = command_line && command_line->find("numa=fake") != std::string::npos;
  if (fake_nodes) result.notes.push_back("the kernel was started with numa=fake: one node assumed");

  const HwlocTopology topology = load_hwloc(sys_root);
  if (topology != nullptr) read_cpus(topology.get(), allowed, fake_nodes, &result);
  if (!result.cpus.empty()) {
    read_caches(topology.get(), &result);
  } else if (read_sysfs_topology(sys_root, allowed, &result)) {
    if (fake_nodes) one_node(&result);
  } else {
    assume_flat(allowed, &result);
  }
  if (result.core_kinds == 1) read_capacities(sys_root, &result);
  if (result.node_ids.empty()) result.node_ids.push_back(0);
  memory_nodes(sys_root, &result);
  for (const char* file : {"/proc/device-tree/model", "/sys/firmware/devicetree/base/model"}) {
    const auto model = read_system_file(sys_root + file);
    if (model && result.board.empty()) result.board = model->c_str();  // it ends in a NUL
  }

  CgroupLimits limits = read_cgroup_limits(sys_root);
  result.cpu_quota = limits.cpu_quota;
  result.memory_bytes = machine_memory(sys_root, &result.notes);
  result.memory_limit_bytes = limits.memory_limit_bytes;
  result.notes.insert(result.notes.end(), limits.notes.begin(), limits.notes.end());
  return result;
}

}  // namespace nibble
