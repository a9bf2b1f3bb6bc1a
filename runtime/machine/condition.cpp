// Reads procfs and sysfs (see condition.h). Formats: the kernel's admin-guide/pm, accounting/psi,
// ABI/testing/sysfs-class-power; the table of memory modules: SMBIOS 3.7, type 17.
#include "runtime/machine/condition.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <sstream>
#include <string_view>
#include <system_error>

#include "runtime/machine/cgroup.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> entries(const std::string& directory, std::string_view prefix) {
  std::vector<std::string> paths;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().starts_with(prefix)) paths.push_back(it->path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// The first word of a file; empty if it cannot be read.
std::string word(const std::string& path) {
  std::istringstream text(read_system_file(path).value_or(""));
  std::string first;
  text >> first;
  return first;
}

template <typename T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

// What follows `name` in a text of lines, up to the next blank.
std::optional<std::string> field(const std::string& text, std::string_view name) {
  const size_t at = text.find(name);
  if (at == std::string::npos) return std::nullopt;
  std::istringstream rest(text.substr(at + name.size(), 256));
  std::string value;
  if (!(rest >> value)) return std::nullopt;
  return value;
}

std::optional<uint64_t> kib_field(const std::string& text, std::string_view name) {
  const auto value = field(text, name);
  const auto kib = value ? number<uint64_t>(*value) : std::nullopt;
  if (!kib || *kib > (uint64_t{1} << 50)) return std::nullopt;
  return *kib * 1024;
}

// CPUs in a list like "0-3,8".
int count_cpus(const std::string& list) {
  int count = 0;
  std::istringstream parts(list);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t dash = part.find('-');
    const auto first = number<int>(part.substr(0, dash));
    const auto last = dash == std::string::npos ? first : number<int>(part.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last > 1 << 20) return 0;
    count += *last - *first + 1;
  }
  return count;
}

std::optional<bool> on_battery(const std::string& sys_root) {
  std::optional<bool> mains;
  bool battery = false;
  for (const std::string& supply : entries(sys_root + "/sys/class/power_supply", "")) {
    const std::string type = word(supply + "/type");
    if (type == "Mains") mains = mains.value_or(false) || word(supply + "/online") == "1";
    battery = battery || (type == "Battery" && word(supply + "/status") == "Discharging");
  }
  if (!mains) return std::nullopt;
  return !*mains && battery;
}

void read_modules_of_firmware(const std::string& sys_root, MachineCondition* out) {
  for (const std::string& entry : entries(sys_root + "/sys/firmware/dmi/entries", "17-")) {
    const std::string raw = read_system_file(entry + "/raw").value_or("");
    const auto byte = [&](size_t at) { return static_cast<unsigned char>(raw[at]); };
    const auto half = [&](size_t at) { return byte(at) | byte(at + 1) << 8; };
    if (raw.size() < 0x1b || byte(0) != 17) continue;
    ++out->module_slots;
    const int size = half(0x0c);  // MiB, KiB with the top bit, 0x7fff: see 0x1c, 0xffff: unknown
    uint64_t mib = size == 0xffff ? 0 : static_cast<uint64_t>(size & 0x7fff);
    if ((size & 0x8000) != 0) mib /= 1024;
    if (size == 0x7fff && raw.size() >= 0x20) {
      mib = static_cast<uint64_t>(half(0x1c)) | static_cast<uint64_t>(half(0x1e) & 0x7fff) << 16;
    }
    if (mib == 0) continue;
    const int configured = raw.size() >= 0x22 ? half(0x20) : 0;
    out->modules.push_back({mib << 20, configured > 0 ? configured : half(0x15)});
  }
}

void read_modules_of_controller(const std::string& sys_root, MachineCondition* out) {
  for (const std::string& controller : entries(sys_root + "/sys/devices/system/edac/mc", "mc")) {
    for (const std::string& module : entries(controller, "dimm")) {
      const auto mib = number<uint64_t>(word(module + "/size"));
      if (mib && *mib > 0 && *mib < 1 << 30) out->modules.push_back({*mib << 20, 0});
    }
  }
}

}  // namespace

std::string huge_page_mode(const std::string& sys_root) {
  const auto text = read_system_file(sys_root + "/sys/kernel/mm/transparent_hugepage/enabled");
  if (!text) return "unknown";
  const size_t open = text->find('[');
  const size_t close = text->find(']', open);
  if (open == std::string::npos || close == std::string::npos) return "unknown";
  return text->substr(open + 1, close - open - 1);
}

std::optional<CpuTicks> read_cpu_ticks(const std::string& sys_root) {
  std::istringstream text(read_system_file(sys_root + "/proc/stat").value_or(""));
  std::string name;
  if (!(text >> name) || name != "cpu") return std::nullopt;
  CpuTicks ticks;
  uint64_t value = 0;
  // user, nice, system, idle, iowait, irq, softirq, steal
  constexpr int kIdle = 3, kIowait = 4, kStolen = 7;
  for (int i = 0; i <= kStolen; ++i) {
    if (!(text >> value)) return std::nullopt;
    ticks.all += value;
    if (i == kIdle || i == kIowait) ticks.idle += value;
  }
  ticks.stolen = value;
  return ticks;
}

double others_share(const CpuTicks& before, const CpuTicks& after, double own_seconds) {
  if (after.all <= before.all) return 0;
  const double all = static_cast<double>(after.all - before.all);
  const double idle = static_cast<double>(after.idle - before.idle);
  const double own = own_seconds * static_cast<double>(sysconf(_SC_CLK_TCK));
  return std::clamp((all - idle - own) / all, 0.0, 1.0);
}

MachineCondition read_condition(const std::string& sys_root) {
  MachineCondition condition;
  condition.thermals = read_thermals(sys_root);
  const std::string cpus = sys_root + "/sys/devices/system/cpu";
  condition.clock_driver = word(cpus + "/cpu0/cpufreq/scaling_driver");
  condition.clock_preference = word(cpus + "/cpu0/cpufreq/energy_performance_preference");
  condition.power_profile = word(sys_root + "/sys/firmware/acpi/platform_profile");
  condition.on_battery = on_battery(sys_root);
  condition.huge_pages = huge_page_mode(sys_root);
  const std::string smt = word(cpus + "/smt/active");
  if (smt == "0" || smt == "1") condition.smt = smt == "1";
  condition.online_cpus = count_cpus(word(cpus + "/online"));

  const std::string info = read_system_file(sys_root + "/proc/cpuinfo").value_or("");
  condition.virtual_machine = info.find(" hypervisor") != std::string::npos;
  const std::string memory = read_system_file(sys_root + "/proc/meminfo").value_or("");
  condition.available_bytes = kib_field(memory, "MemAvailable:");
  const uint64_t swap = kib_field(memory, "SwapTotal:").value_or(0);
  condition.swapped_bytes = swap - std::min(swap, kib_field(memory, "SwapFree:").value_or(swap));

  const std::string pressure = read_system_file(sys_root + "/proc/pressure/cpu").value_or("");
  const auto waiting = field(pressure, "some avg10=");
  if (const auto percent = waiting ? number<double>(*waiting) : std::nullopt) {
    if (*percent >= 0 && *percent <= 100) condition.cpu_wait = *percent / 100;
  }
  read_modules_of_firmware(sys_root, &condition);
  if (condition.modules.empty()) read_modules_of_controller(sys_root, &condition);
  return condition;
}

}  // namespace nibble
