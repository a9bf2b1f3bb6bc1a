#include "runtime/machine/core_speed.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <thread>

#include "runtime/file/atomic_file.h"
#include "runtime/machine/cgroup.h"
#include "runtime/machine/cpu_binding.h"
#include "simd/layout.h"
#include "simd/registry.h"

namespace nibble {
namespace {

// Weights of 144 KiB, which stay in L2 on every core that there is.
constexpr size_t kRows = 256;
constexpr size_t kDepth = 1024;
// A core that slept takes as long to reach its clock.
constexpr double kWarmUp_s = 1e-3;
constexpr double kMeasured_s = 1e-3;
constexpr int kPasses = 3;
constexpr double kLeastSpeed = 0.01;

double thread_cpu_seconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Products a CPU second, the best pass; other programs on the core do not count.
double measure_here(const KernelEntry& kernel) {
  const size_t w_bytes = packed_bytes(Format::kQ4_0, kernel.layout, kRows, kDepth);
  const size_t x_bytes = std::max(activation_bytes(1, kDepth), kDepth * sizeof(float));
  std::vector<uint64_t> w(w_bytes / 8 + 8);  // zeros: a product takes the same time whatever it is
  std::vector<uint64_t> x(x_bytes / 8 + 8);
  std::vector<float> y(kRows);
  const auto line = [](std::vector<uint64_t>& memory) {
    return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
  };
  const MatmulArgs args{line(w), line(x), y.data(), kRows, kRows, kDepth, 1};
  const auto rate = [&](double seconds) {
    const double start = thread_cpu_seconds();
    double now = start;
    size_t products = 0;
    for (; now < start + seconds; now = thread_cpu_seconds()) {
      for (int i = 0; i < 16; ++i, ++products) kernel.fn.matmul(&args);
    }
    return static_cast<double>(products) / (now - start);
  };
  double best = rate(kWarmUp_s);
  for (int pass = 0; pass < kPasses; ++pass) best = std::max(best, rate(kMeasured_s));
  return best;
}

// What the speeds belong to: one line, without tabs.
std::string machine_name(const Topology& machine, const Kernel& kernel) {
  std::map<int, int> cpus;
  for (const CpuInfo& cpu : machine.cpus) ++cpus[cpu.core_kind];
  std::string name = cpu_brand() + "; " + kernel.id() + "; CPUs by kind";
  for (const auto& [kind, count] : cpus) name.append(" ").append(std::to_string(count));
  std::replace(name.begin(), name.end(), '\t', ' ');
  return name;
}

// "0.41 1" -> {0.41, 1}
std::optional<std::vector<double>> parse_speeds(std::string_view text, size_t kinds) {
  std::vector<double> speeds;
  while (!text.empty()) {
    double speed = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), speed);
    if (error != std::errc() || !(speed >= kLeastSpeed && speed <= 1)) return std::nullopt;
    speeds.push_back(speed);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (!text.empty() && text.front() != ' ') return std::nullopt;
    if (!text.empty()) text.remove_prefix(1);
  }
  if (speeds.size() != kinds) return std::nullopt;
  return speeds;
}

// The speeds in the line of `name`, which is "NAME\tSPEED SPEED".
std::optional<std::vector<double>> find_speeds(const std::string& file, const std::string& name,
                                               size_t kinds) {
  const std::string start = name + "\t";
  size_t begin = ("\n" + file).find("\n" + start);
  if (begin == std::string::npos) return std::nullopt;
  begin += start.size();
  return parse_speeds(std::string_view(file).substr(begin, file.find('\n', begin) - begin), kinds);
}

// Failing to keep them costs a measurement next time, and is no error.
void keep(const std::string& directory, const std::string& line) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  auto file = AtomicFile::create(directory + "/core-speeds");
  if (file && file->write(0, line.data(), line.size())) (void)file->commit();
}

}  // namespace

std::vector<double> measure_core_speeds(const Topology& machine, CpuFeatures features) {
  const KernelEntry& kernel = *select_kernel(Op::kMatmul, Format::kQ4_0, features)->entry;
  std::vector<double> speeds;
  for (int kind = 0; kind < machine.core_kinds; ++kind) {
    std::set<int> cpus;
    for (const CpuInfo& cpu : machine.cpus) {
      if (cpu.core_kind == kind) cpus.insert(cpu.os_index);
    }
    double speed = 0;
    std::thread([&] {
      const CpuBinding binding(cpus);
      speed = measure_here(kernel);
    }).join();
    speeds.push_back(speed);
  }
  const double fastest = *std::max_element(speeds.begin(), speeds.end());
  for (double& speed : speeds) speed = std::clamp(speed / fastest, kLeastSpeed, 1.0);
  return speeds;
}

std::vector<double> core_speeds(const Topology& machine, CpuFeatures features,
                                const std::string& directory) {
  const std::string name =
      machine_name(machine, *select_kernel(Op::kMatmul, Format::kQ4_0, features));
  if (!directory.empty()) {
    const auto file = read_system_file(directory + "/core-speeds");
    const auto kept =
        file ? find_speeds(*file, name, static_cast<size_t>(machine.core_kinds)) : std::nullopt;
    if (kept) return *kept;
  }
  std::vector<double> speeds = measure_core_speeds(machine, features);
  if (directory.empty()) return speeds;
  std::string line = name + "\t";
  for (size_t i = 0; i < speeds.size(); ++i) {
    char text[32];
    std::snprintf(text, sizeof(text), "%s%.3f", i > 0 ? " " : "", speeds[i]);
    line += text;
  }
  keep(directory, line + "\n");
  return speeds;
}

}  // namespace nibble
