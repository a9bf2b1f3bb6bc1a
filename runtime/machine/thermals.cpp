// Reads cpufreq, thermal zones, cooling devices and a Raspberry Pi's firmware (see thermals.h).
// Formats: the kernel's admin-guide/pm/cpufreq and driver-api/thermal/sysfs-api; the flags:
// Raspberry Pi's documentation of `vcgencmd get_throttled`.
#include "runtime/machine/thermals.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <set>
#include <string_view>
#include <system_error>

#include "runtime/machine/cgroup.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

// Bits 0 to 3: now; the same 16 higher: at some time since the start of the system.
constexpr uint32_t kNow = 0xf;
constexpr int kEarlier = 16;
constexpr const char* kFlags[] = {"under-voltage", "clock capped", "throttled",
                                  "near the temperature limit"};

// The entries of a directory whose names begin with `prefix`, in order; none if there is no such.
std::vector<std::string> entries(const std::string& directory, std::string_view prefix) {
  std::vector<std::string> paths;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.compare(0, prefix.size(), prefix) == 0) paths.push_back(it->path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// The first word of a file; empty if it cannot be read.
std::string word(const std::string& path) {
  const std::string text = read_system_file(path).value_or("");
  const size_t start = std::min(text.find_first_not_of(" \t\n"), text.size());
  return text.substr(start, text.find_first_of(" \t\n", start) - start);
}

template <typename T>
std::optional<T> number(std::string_view text, int base = 10) {
  T value{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

void raise(std::optional<double>* most, std::optional<double> value) {
  if (value && (!*most || **most < *value)) *most = value;
}

// cpufreq counts in kHz.
std::optional<double> mhz(const std::string& path) {
  const auto khz = number<int64_t>(word(path));
  if (!khz || *khz <= 0) return std::nullopt;
  return static_cast<double>(*khz) / 1000;
}

void read_clocks(const std::string& sys_root, Thermals* out) {
  std::set<std::string> governors;
  for (const std::string& cpu : entries(sys_root + "/sys/devices/system/cpu", "cpu")) {
    const std::string governor = word(cpu + "/cpufreq/scaling_governor");
    if (!governor.empty()) governors.insert(governor);
    raise(&out->mhz, mhz(cpu + "/cpufreq/scaling_cur_freq"));
    raise(&out->mhz_max, mhz(cpu + "/cpufreq/cpuinfo_max_freq"));
  }
  for (const std::string& governor : governors) {
    out->governor.append(out->governor.empty() ? "" : ", ").append(governor);
  }
}

// Zones are named by drivers: "cpu-thermal", "x86_pkg_temp", "soc-thermal", "acpitz", "nvme".
bool is_of_processor(const std::string& type) {
  return type.find("cpu") != std::string::npos || type.find("pkg") != std::string::npos ||
         type.find("soc") != std::string::npos;
}

void read_zones(const std::string& sys_root, Thermals* out) {
  std::optional<double> of_processor, of_any;
  for (const std::string& zone : entries(sys_root + "/sys/class/thermal", "thermal_zone")) {
    const auto thousandths = number<int64_t>(word(zone + "/temp"));
    // Sensors that are off or broken say 0, -274000 or a million.
    if (!thousandths || *thousandths <= -60'000 || *thousandths == 0 || *thousandths > 200'000) {
      continue;
    }
    const double celsius = static_cast<double>(*thousandths) / 1000;
    raise(&of_any, celsius);
    if (is_of_processor(word(zone + "/type"))) raise(&of_processor, celsius);
  }
  out->celsius = of_processor ? of_processor : of_any;
}

// "cpufreq-cpu0" (since Linux 5.12), "thermal-cpufreq-0" before; other devices are fans and disks.
void read_cooling(const std::string& sys_root, Thermals* out) {
  for (const std::string& device : entries(sys_root + "/sys/class/thermal", "cooling_device")) {
    if (word(device + "/type").find("cpufreq") == std::string::npos) continue;
    if (number<int64_t>(word(device + "/cur_state")).value_or(0) > 0) out->cooled = true;
  }
}

// soc/soc:firmware on most Pis; newer device trees have the bus's address in both names.
void read_firmware(const std::string& sys_root, Thermals* out) {
  for (const std::string& bus : entries(sys_root + "/sys/devices/platform", "soc")) {
    for (const std::string& node : entries(bus, "soc")) {
      std::string flags = word(node + "/get_throttled");
      if (flags.compare(0, 2, "0x") == 0) flags.erase(0, 2);
      if (const auto bits = number<uint32_t>(flags, 16)) out->firmware_flags = bits;
    }
  }
}

std::string flag_names(uint32_t bits) {
  std::string text;
  for (size_t i = 0; i < std::size(kFlags); ++i) {
    if ((bits >> i & 1) != 0) text.append(text.empty() ? "" : ", ").append(kFlags[i]);
  }
  return text;
}

}  // namespace

bool Thermals::throttled() const {
  return cooled || (firmware_flags.value_or(0) & kNow) != 0;
}

std::string Thermals::throttle_text() const {
  const uint32_t flags = firmware_flags.value_or(0);
  std::string text = flag_names(flags & kNow);
  if (cooled) text.append(text.empty() ? "" : ", ").append("clock held down to cool");
  const std::string earlier = flag_names(flags >> kEarlier & kNow);
  if (!earlier.empty()) text.append(text.empty() ? "(" : " (").append("earlier: " + earlier + ")");
  return text;
}

Thermals read_thermals(const std::string& sys_root) {
  Thermals thermals;
  read_clocks(sys_root, &thermals);
  read_zones(sys_root, &thermals);
  read_cooling(sys_root, &thermals);
  read_firmware(sys_root, &thermals);
  return thermals;
}

bool throttled_between(const Thermals& before, const Thermals& after) {
  const uint32_t appeared = after.firmware_flags.value_or(0) & ~before.firmware_flags.value_or(0);
  return before.throttled() || after.throttled() || (appeared >> kEarlier & kNow) != 0;
}

}  // namespace nibble
