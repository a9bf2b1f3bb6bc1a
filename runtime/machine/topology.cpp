// Detection (see topology.h): hwloc's tree, cut to the CPUs this process may run on, and the limits
// of its control groups (cgroup.h). Ids of cores, packages and nodes are renumbered from 0 over
// what is usable.
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
#include <sstream>
#include <utility>

#include "runtime/machine/cgroup.h"

namespace nibble {
namespace {

constexpr int kMaxCpu = 1 << 16;

struct DestroyTopology {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using HwlocTopology = std::unique_ptr<hwloc_topology, DestroyTopology>;

// "0-3,8" -> {0, 1, 2, 3, 8}; nothing when it is not such a list.
std::optional<std::set<int>> parse_cpu_list(const std::string& text) {
  const size_t start = std::min(text.find_first_not_of(" \t\n"), text.size());
  const std::string list = text.substr(start, text.find_last_not_of(" \t\n") + 1 - start);
  if (list.find_first_not_of("0123456789,-") != std::string::npos) return std::nullopt;
  std::set<int> cpus;
  std::istringstream stream(list);
  for (int first; stream >> first;) {
    int last = first;
    if (stream.peek() == '-' && (stream.get(), !(stream >> last))) return std::nullopt;
    if (first < 0 || last < first || last >= kMaxCpu) return std::nullopt;
    for (int cpu = first; cpu <= last; ++cpu) cpus.insert(cpu);
    if (stream.peek() == ',') stream.get();
  }
  if (!stream.eof() || cpus.empty()) return std::nullopt;
  return cpus;
}

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
unsigned kind_of(hwloc_topology_t topology, hwloc_obj_t pu) {
  const int kind = hwloc_cpukinds_get_by_cpuset(topology, pu->cpuset, 0);
  int efficiency = -1;
  if (kind < 0 || hwloc_cpukinds_get_info(topology, static_cast<unsigned>(kind), nullptr,
                                          &efficiency, nullptr, nullptr, 0) != 0) {
    return 0;
  }
  return efficiency < 0 ? 0 : static_cast<unsigned>(efficiency);
}

void number_kinds(Topology* result) {
  std::set<int> kinds;
  for (const CpuInfo& cpu : result->cpus) kinds.insert(cpu.core_kind);
  for (CpuInfo& cpu : result->cpus) {
    cpu.core_kind = static_cast<int>(std::distance(kinds.begin(), kinds.find(cpu.core_kind)));
  }
  result->core_kinds = static_cast<int>(kinds.size());
}

void read_cpus(hwloc_topology_t topology, const std::set<int>& allowed, bool one_node,
               Topology* result) {
  std::map<unsigned, int> cores, packages, nodes;
  for (hwloc_obj_t pu = nullptr;
       (pu = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PU, pu)) != nullptr;) {
    const int os_index = static_cast<int>(pu->os_index);
    if (allowed.count(os_index) == 0) continue;
    CpuInfo cpu;
    cpu.os_index = os_index;
    cpu.core = dense_index(
        &cores, ancestor_index(topology, pu, HWLOC_OBJ_CORE, (1u << 30) + pu->logical_index));
    cpu.package = dense_index(&packages, ancestor_index(topology, pu, HWLOC_OBJ_PACKAGE, 0));
    const int node = pu->nodeset != nullptr ? hwloc_bitmap_first(pu->nodeset) : 0;
    cpu.node = dense_index(&nodes, one_node ? 0 : static_cast<unsigned>(std::max(node, 0)));
    cpu.core_kind = static_cast<int>(kind_of(topology, pu));
    result->cpus.push_back(cpu);
  }
  if (result->cpus.empty()) return;
  result->cores = static_cast<int>(cores.size());
  result->packages = static_cast<int>(packages.size());
  result->nodes = static_cast<int>(nodes.size());
  number_kinds(result);
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
      "hwloc tells nothing about this machine: one node assumed, each CPU taken for a core");
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
  std::map<int, std::set<int>> cores_of_kind;
  for (const CpuInfo& cpu : cpus) cores_of_kind[cpu.core_kind].insert(cpu.core);
  size_t threads = 0;
  for (auto kind = cores_of_kind.rbegin(); kind != cores_of_kind.rend(); ++kind) {
    threads += kind->second.size();
    if (threads > 1) break;  // phones have a lone fastest core: it works with the next kind
  }
  auto limit = static_cast<double>(threads);
  if (cpu_quota > 0) limit = std::min(limit, cpu_quota);
  return std::max(1, static_cast<int>(limit));
}

Topology detect_topology(const std::string& sys_root) {
  Topology result;
  const std::set<int> allowed = allowed_cpus(sys_root, &result.notes);

  const auto command_line = read_system_file(sys_root + "/proc/cmdline");
  const bool fake_nodes = command_line && command_line->find("numa=fake") != std::string::npos;
  if (fake_nodes) result.notes.push_back("the kernel was started with numa=fake: one node assumed");

  const HwlocTopology topology = load_hwloc(sys_root);
  if (topology != nullptr) read_cpus(topology.get(), allowed, fake_nodes, &result);
  if (result.cpus.empty()) {
    assume_flat(allowed, &result);
  } else {
    read_caches(topology.get(), &result);
  }

  CgroupLimits limits = read_cgroup_limits(sys_root);
  result.cpu_quota = limits.cpu_quota;
  result.memory_bytes = machine_memory(sys_root, &result.notes);
  result.memory_limit_bytes = limits.memory_limit_bytes;
  result.notes.insert(result.notes.end(), limits.notes.begin(), limits.notes.end());
  return result;
}

}  // namespace nibble
