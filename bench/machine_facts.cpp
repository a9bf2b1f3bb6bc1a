#include "bench/machine_facts.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "runtime/machine/cgroup.h"
#include "runtime/machine/memory.h"
#include "simd/cpu.h"
#include "simd/registry.h"

namespace nibble {

extern const char* const kBuildCommit;  // of a source that the build writes

namespace {

// The KiB after "KEY:" in a file like /proc/meminfo; 0: not there.
uint64_t kib_field(const char* path, const char* key) {
  const std::optional<std::string> text = read_system_file(path);
  const size_t at = text ? text->find(key) : std::string::npos;
  return at == std::string::npos
             ? 0
             : std::strtoull(text->c_str() + at + std::strlen(key), nullptr, 10);
}

uint64_t free_memory_bytes(const Topology& topology) {
  uint64_t bytes = kib_field("/proc/meminfo", "MemAvailable:") << 10;
  if (bytes == 0) bytes = topology.memory_bytes;
  const uint64_t limit = topology.memory_limit_bytes;
  return limit == 0 ? bytes : std::min(bytes, limit);
}

// Whether large buffers get huge pages: tried.
std::string pages() {
  constexpr const char* kFile = "/proc/self/smaps_rollup";
  constexpr size_t kBytes = size_t{16} << 20;
  const uint64_t before = kib_field(kFile, "AnonHugePages:");
  const auto buffer = Buffer::allocate(kBytes, "a look at its pages");
  if (!buffer) return "unknown";
  std::memset(buffer->as<uint8_t>(), 1, kBytes);
  const bool huge = kib_field(kFile, "AnonHugePages:") > before;
  return (huge ? "huge, else " : "") + std::to_string(page_size_bytes() >> 10) + " KiB";
}

std::string governor(const std::vector<int>& cpus) {
  const int cpu = cpus.empty() ? 0 : cpus.front();
  const auto text = read_system_file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                                     "/cpufreq/scaling_governor");
  return text ? text->substr(0, text->find('\n')) : "unknown";
}

std::string usable_levels() {
  const CpuFeatures features = detect_cpu_features();
  std::string names;
  for (const IsaLevel& level : isa_levels()) {
    if ((level.required & ~features) != 0) continue;
    names.append(names.empty() ? "" : " ").append(level.name);
  }
  return names;
}

std::string compiler() {
#if defined(__clang__)
  return __VERSION__;  // begins with its name
#else
  return "GCC " __VERSION__;
#endif
}

}  // namespace

uint64_t last_level_cache_bytes(const Topology& topology) {
  int level = 0;
  uint64_t bytes = 0;
  for (const CacheInfo& cache : topology.caches) {
    if (cache.level < level) continue;
    if (cache.level > level) bytes = 0;
    level = cache.level;
    bytes += cache.size_bytes * static_cast<uint64_t>(std::max(1, cache.count));
  }
  return bytes;
}

size_t default_cold_mib(const Topology& topology, std::string* note) {
  constexpr size_t kLeastMib = 256;
  const size_t wanted = std::max<size_t>(kLeastMib, 4 * (last_level_cache_bytes(topology) >> 20));
  const size_t allowed = std::max<size_t>(1, free_memory_bytes(topology) / 2 >> 20);
  if (wanted <= allowed) return wanted;
  *note = "/cold takes " + std::to_string(allowed) + " MiB, half of the free memory, instead of " +
          std::to_string(wanted) + ": part of it may come from the cache";
  return allowed;
}

std::map<std::string, std::string> machine_facts(const Topology& topology,
                                                 const std::vector<int>& cpus) {
  return {{"cpu", cpu_brand()},
          {"isa_levels", usable_levels()},
          {"governor", governor(cpus)},
          {"commit", kBuildCommit},
          {"compiler", compiler()},
          {"version", NIBBLE_VERSION},
          {"pages", pages()},
          {"llc_mib", std::to_string(last_level_cache_bytes(topology) >> 20)}};
}

}  // namespace nibble
