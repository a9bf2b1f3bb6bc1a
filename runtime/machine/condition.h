// The state a machine is in, beyond what it has: what of Linux's settings and of other programs
// slows a model down. All of it is optional: what a system does not tell is absent.
//
// Read next: thermals.h, topology.h, diagnosis.h (what follows from it).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/machine/thermals.h"

namespace nibble {

struct MemoryModule {
  uint64_t bytes = 0;
  int mega_transfers_per_s = 0;  // 0: unknown
};

struct MachineCondition {
  Thermals thermals;
  std::string clock_driver;      // "intel_pstate", "acpi-cpufreq"; empty: unknown
  std::string clock_preference;  // energy_performance_preference: "power"; empty: unknown
  std::string power_profile;     // the firmware's: "low-power", "balanced"; empty: unknown
  std::optional<bool> on_battery;
  std::string huge_pages;   // "always", "madvise", "never"; "unknown"
  std::optional<bool> smt;  // two threads a core are switched on
  bool virtual_machine = false;
  int online_cpus = 0;             // of the machine, whatever this process may use; 0: unknown
  std::optional<double> cpu_wait;  // share of the last 10 s in which some task waited for a CPU
  std::optional<uint64_t> available_bytes;
  uint64_t swapped_bytes = 0;
  // Where the system lets us read the firmware's table (root) or the memory controller's driver.
  std::vector<MemoryModule> modules;
  int module_slots = 0;  // 0: unknown
};

// Some twenty small files. `sys_root` is for tests: a directory in place of "/".
MachineCondition read_condition(const std::string& sys_root = "");

// The word in brackets of "always [madvise] never"; "unknown".
std::string huge_page_mode(const std::string& sys_root = "");

// Time in ticks (of sysconf(_SC_CLK_TCK) a second), summed over the machine's CPUs.
struct CpuTicks {
  uint64_t stolen = 0;  // a hypervisor has given it to others
  uint64_t idle = 0;
  uint64_t all = 0;
};
std::optional<CpuTicks> read_cpu_ticks(const std::string& sys_root = "");

// The share of the machine's CPU time between two readings that went neither to this process, which
// used `own_seconds` of it, nor to nobody: other programs', the system's and a hypervisor's other
// guests'. From 0 to 1; 0 where no time has passed.
double others_share(const CpuTicks& before, const CpuTicks& after, double own_seconds);

}  // namespace nibble
