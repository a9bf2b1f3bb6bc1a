#include "runtime/machine/diagnosis.h"

#include <algorithm>
#include <cstdio>

namespace nibble {
namespace {

template <typename... Args>
std::string format(const char* pattern, Args... args) {
  char text[256];
  std::snprintf(text, sizeof(text), pattern, args...);
  return text;
}

double gib(uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 30);
}

// At most over now, where both are known.
double clock_gain(const Thermals& thermals, double otherwise) {
  if (!thermals.mhz || !thermals.mhz_max || *thermals.mhz <= 0) return otherwise;
  return std::max(1.0, *thermals.mhz_max / *thermals.mhz);
}

std::string clock_text(const Thermals& thermals) {
  if (!thermals.mhz || !thermals.mhz_max) return "";
  return format("%.0f of %.0f MHz while busy", *thermals.mhz, *thermals.mhz_max);
}

std::string joined(const std::string& a, const std::string& b) {
  return a.empty() || b.empty() ? a + b : a + "; " + b;
}

class Diagnosis {
 public:
  explicit Diagnosis(const MachineState& machine) : m_(machine), c_(machine.condition) {}

  std::vector<Finding> run() {
    quota();
    affinity();
    heat();
    clock();
    neighbours();
    memory_modules();
    memory_left();
    pages();
    instructions();
    std::stable_sort(found_.begin(), found_.end(), [](const Finding& a, const Finding& b) {
      if (a.remedy.empty() != b.remedy.empty()) return b.remedy.empty();
      return a.gain > b.gain;
    });
    return std::move(found_);
  }

 private:
  void add(std::string what, std::string evidence, std::string remedy, double gain) {
    found_.push_back({std::move(what), std::move(evidence), std::move(remedy), gain});
  }

  void quota() {
    const double cores = m_.topology.cores;
    const double quota = m_.topology.cpu_quota;
    if (quota <= 0 || quota >= cores) return;
    add("the container gets a part of the processor",
        format("a quota of %.2f CPUs on %d cores (cgroup)", quota, m_.topology.cores),
        "raise the quota (docker --cpus, CPUQuota= of systemd, limits.cpu of Kubernetes)",
        cores / quota);
  }

  void affinity() {
    const auto usable = static_cast<int>(m_.topology.cpus.size());
    if (c_.online_cpus <= usable || usable == 0) return;
    add("this process may not use all CPUs",
        format("%d of %d that are online (affinity mask or cpuset)", usable, c_.online_cpus),
        "start it without taskset, or with a larger cpuset (docker --cpuset-cpus)",
        static_cast<double>(c_.online_cpus) / usable);
  }

  void heat() {
    const Thermals& t = c_.thermals;
    const uint32_t flags = t.firmware_flags.value_or(0);
    if ((flags & 1) != 0) {
      add("the power supply is too weak", joined(t.throttle_text(), clock_text(t)),
          "use the supply that the board's maker recommends (27 W for a Raspberry Pi 5)",
          clock_gain(t, 1.5));
    } else if (t.throttled()) {
      add("heat slows the processor down", joined(t.throttle_text(), clock_text(t)),
          "cool it: a fan, a heat sink, air", clock_gain(t, 1.4));
    }
  }

  void clock() {
    const Thermals& t = c_.thermals;
    if (t.throttled()) return;  // said already
    // With these drivers "powersave" is the usual governor, and the preference decides.
    const bool self_driven =
        c_.clock_driver == "intel_pstate" || c_.clock_driver == "amd-pstate-epp";
    const bool saves = t.governor.find("powersave") != std::string::npos && !self_driven;
    const bool slow = t.mhz && t.mhz_max && *t.mhz < 0.75 * *t.mhz_max;
    if (saves || (t.governor.find("conservative") != std::string::npos && slow)) {
      add("the clock is held down", joined("governor " + t.governor, clock_text(t)),
          "sudo cpupower frequency-set -g performance (or schedutil)", clock_gain(t, 1.5));
    } else if (c_.clock_preference == "power") {
      add("the clock is held down to save energy",
          joined("energy_performance_preference is power", clock_text(t)),
          "powerprofilesctl set performance, or write balance_performance to "
          "/sys/devices/system/cpu/cpufreq/policy*/energy_performance_preference",
          clock_gain(t, 1.3));
    } else if (c_.power_profile == "low-power" || c_.power_profile == "quiet") {
      add("the firmware saves energy",
          joined("platform profile " + c_.power_profile, clock_text(t)),
          "powerprofilesctl set performance", clock_gain(t, 1.3));
    } else if (c_.on_battery.value_or(false)) {
      add("it runs on battery", joined("no mains", clock_text(t)), "plug it in",
          clock_gain(t, 1.2));
    }
  }

  void neighbours() {
    if (m_.stolen > 0.05) {
      add("other guests use this processor",
          format("the hypervisor gave %.0f %% of the time to others", 100 * m_.stolen),
          "move to a quieter host or to dedicated CPUs", 1 / (1 - std::min(m_.stolen, 0.9)));
    }
    // A quota makes tasks wait too, and is said above.
    const double wait = c_.cpu_wait.value_or(0);
    if (wait > 0.2 && m_.topology.cpu_quota <= 0) {
      add("other programs use the processor",
          format("in %.0f %% of the last 10 s some task waited for a CPU", 100 * wait),
          "end them (top shows which)", 1 + wait);
    }
  }

  void memory_modules() {
    if (c_.modules.size() == 1 && !c_.virtual_machine) {
      const MemoryModule& module = c_.modules[0];
      std::string evidence = format("one of %.0f GiB", gib(module.bytes));
      if (module.mega_transfers_per_s > 0)
        evidence += format(", %d MT/s", module.mega_transfers_per_s);
      if (c_.module_slots > 1) evidence += format(", %d slots", c_.module_slots);
      if (m_.read_gb_per_s > 0) evidence += format("; reads %.1f GB/s", m_.read_gb_per_s);
      add("memory has one module, and so one channel", evidence,
          c_.module_slots == 1 ? "" : "add a second module of the same kind: two channels", 1.8);
    }
  }

  void memory_left() {
    constexpr uint64_t kLittle = uint64_t{1} << 30;
    const uint64_t total = m_.topology.memory_bytes;
    const bool little = c_.available_bytes && *c_.available_bytes < std::min(kLittle, total / 4);
    if (!little) return;
    add("memory is nearly full",
        format("%.1f of %.1f GiB are free, %.1f GiB are swapped out", gib(*c_.available_bytes),
               gib(total), gib(c_.swapped_bytes)),
        "end other programs, or use a smaller model (nibble plan)", 2);
  }

  void pages() {
    if (c_.huge_pages != "never" || m_.page_bytes > 16384) return;
    add("no huge pages", "transparent huge pages are set to never",
        "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled", 1.15);
  }

  // What a processor lacks cannot be changed, but what a virtual machine hides can.
  void instructions() {
    [[maybe_unused]] const CpuFeatures f = m_.features;
    std::string lacks;
    double gain = 1;
#if defined(__x86_64__)
    if ((f & kAvx2) == 0) {
      lacks = "AVX2";
      gain = 3;
    } else if ((f & (kAvxvnni | kAvx512vnni)) == 0) {
      lacks = "VNNI (AVX-VNNI or AVX-512 VNNI)";
      gain = 1.3;
    }
#elif defined(__aarch64__)
    if ((f & kDotprod) == 0) {
      lacks = "the dot product (ARMv8.2)";
      gain = 2;
    }
#endif
    if (lacks.empty()) return;
    const bool hidden = c_.virtual_machine && gain > 1.5;
    add("the processor lacks an instruction set", "no " + lacks,
        hidden ? "if the host has it, show it to this guest (qemu: -cpu host)" : "", gain);
  }

  const MachineState& m_;
  const MachineCondition& c_;
  std::vector<Finding> found_;
};

}  // namespace

std::vector<Finding> diagnose(const MachineState& machine) {
  return Diagnosis(machine).run();
}

}  // namespace nibble
