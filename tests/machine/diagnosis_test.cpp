// Machines that are made up, file by file, and what the doctor finds.
#include "runtime/machine/diagnosis.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/machine/condition.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCpus = "sys/devices/system/cpu/";

class DiagnosisTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/nibble_diagnosis_XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    root_ = pattern;
    for (int i = 0; i < 4; ++i) state_.topology.cpus.push_back({i, i, 0, 0, 0});
    state_.topology.cores = 4;
    state_.topology.memory_bytes = uint64_t{8} << 30;
    state_.features = ~CpuFeatures{0};
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path, std::ios::binary) << text;
  }
  void write_clock(const std::string& governor, int mhz, int mhz_max) const {
    const std::string cpufreq = std::string(kCpus) + "cpu0/cpufreq/";
    write(cpufreq + "scaling_governor", governor + "\n");
    write(cpufreq + "scaling_cur_freq", std::to_string(mhz) + "000\n");
    write(cpufreq + "cpuinfo_max_freq", std::to_string(mhz_max) + "000\n");
  }
  void write_module(int index, uint16_t mib, uint16_t speed) const {
    std::string raw(0x28, '\0');
    raw[0] = 17;
    raw[1] = 0x28;
    raw[0x0c] = static_cast<char>(mib & 0xff);
    raw[0x0d] = static_cast<char>(mib >> 8);
    raw[0x20] = static_cast<char>(speed & 0xff);
    raw[0x21] = static_cast<char>(speed >> 8);
    write("sys/firmware/dmi/entries/17-" + std::to_string(index) + "/raw", raw);
  }
  std::vector<Finding> findings() {
    state_.condition = read_condition(root_.string());
    return diagnose(state_);
  }
  // The only finding, which is expected to be there.
  Finding only() {
    const std::vector<Finding> found = findings();
    EXPECT_EQ(found.size(), 1u);
    return found.empty() ? Finding{} : found[0];
  }

  fs::path root_;
  MachineState state_;
};

TEST_F(DiagnosisTest, NothingIsFoundWhereNothingIsTold) {
  EXPECT_TRUE(findings().empty());
  EXPECT_EQ(state_.condition.huge_pages, "unknown");
  EXPECT_FALSE(state_.condition.smt || state_.condition.on_battery || state_.condition.cpu_wait);
}

TEST_F(DiagnosisTest, AHealthyMachineHasNoFindings) {
  write_clock("schedutil", 2300, 2400);
  write(std::string(kCpus) + "smt/active", "1\n");
  write(std::string(kCpus) + "online", "0-3\n");
  write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  write("proc/pressure/cpu", "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\n");
  write("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\n");
  write_module(0, 4096, 3200);
  write_module(1, 4096, 3200);
  EXPECT_TRUE(findings().empty());
  EXPECT_TRUE(*state_.condition.smt);
  EXPECT_EQ(state_.condition.huge_pages, "madvise");
  EXPECT_EQ(state_.condition.modules.size(), 2u);
  EXPECT_EQ(*state_.condition.available_bytes, uint64_t{6000000} * 1024);
}

TEST_F(DiagnosisTest, AGovernorThatSavesPower) {
  write_clock("powersave", 1200, 2400);
  const Finding found = only();
  EXPECT_EQ(found.what, "the clock is held down");
  EXPECT_EQ(found.evidence, "governor powersave; 1200 of 2400 MHz while busy");
  EXPECT_DOUBLE_EQ(found.gain, 2);
  EXPECT_NE(found.remedy.find("cpupower"), std::string::npos);
}

// Its powersave is what others call ondemand; the preference decides.
TEST_F(DiagnosisTest, IntelPstateIsJudgedByItsPreference) {
  write_clock("powersave", 3000, 3000);
  write(std::string(kCpus) + "cpu0/cpufreq/scaling_driver", "intel_pstate\n");
  EXPECT_TRUE(findings().empty());
  write(std::string(kCpus) + "cpu0/cpufreq/energy_performance_preference", "power\n");
  EXPECT_NE(only().evidence.find("energy_performance_preference"), std::string::npos);
}

TEST_F(DiagnosisTest, HeatAndAWeakSupplyAreDifferentThings) {
  write_clock("ondemand", 1500, 2400);
  write("sys/devices/platform/soc/soc:firmware/get_throttled", "4\n");
  EXPECT_EQ(only().what, "heat slows the processor down");
  EXPECT_DOUBLE_EQ(only().gain, 1.6);
  write("sys/devices/platform/soc/soc:firmware/get_throttled", "5\n");
  EXPECT_EQ(only().what, "the power supply is too weak");
  write("sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n");  // long ago
  EXPECT_TRUE(findings().empty());
}

TEST_F(DiagnosisTest, AQuotaAndAnAffinityMask) {
  state_.topology.cpu_quota = 1.5;
  EXPECT_EQ(only().evidence, "a quota of 1.50 CPUs on 4 cores (cgroup)");
  EXPECT_DOUBLE_EQ(only().gain, 4 / 1.5);
  state_.topology.cpu_quota = 4;
  EXPECT_TRUE(findings().empty());
  write(std::string(kCpus) + "online", "0-5,8,10-11\n");
  EXPECT_EQ(only().evidence, "4 of 9 that are online (affinity mask or cpuset)");
}

TEST_F(DiagnosisTest, NeighboursOnTheMachineAndOnItsHost) {
  write("proc/pressure/cpu", "some avg10=80.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00\n");
  EXPECT_EQ(only().what, "other programs use the processor");
  EXPECT_DOUBLE_EQ(only().gain, 1.8);
  state_.stolen = 0.5;
  ASSERT_EQ(findings().size(), 2u);
  EXPECT_EQ(findings()[0].what, "other guests use this processor");
}

TEST_F(DiagnosisTest, OneMemoryModule) {
  write_module(0, 8192, 3200);
  write_module(1, 0, 0);
  state_.read_gb_per_s = 17.25;
  const Finding found = only();
  EXPECT_EQ(found.evidence, "one of 8 GiB, 3200 MT/s, 2 slots; reads 17.2 GB/s");
  EXPECT_NE(found.remedy.find("second module"), std::string::npos);
  // A guest sees one module whatever the host has.
  write("proc/cpuinfo", "flags\t\t: fpu vme hypervisor lahf_lm\n");
  EXPECT_TRUE(findings().empty());
}

TEST_F(DiagnosisTest, ModulesOfTheControllersDriver) {
  write("sys/devices/system/edac/mc/mc0/dimm0/size", "16384\n");
  write("sys/devices/system/edac/mc/mc0/dimm1/size", "0\n");
  EXPECT_EQ(only().evidence, "one of 16 GiB");
}

TEST_F(DiagnosisTest, NoHugePages) {
  write("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  EXPECT_EQ(only().what, "no huge pages");
  state_.page_bytes = 65536;  // large enough without
  EXPECT_TRUE(findings().empty());
}

TEST_F(DiagnosisTest, MemoryThatIsFull) {
  write("proc/meminfo", "MemAvailable: 100000 kB\nSwapTotal: 4194304 kB\nSwapFree: 1048576 kB\n");
  EXPECT_EQ(only().evidence, "0.1 of 8.0 GiB are free, 3.0 GiB are swapped out");
}

TEST_F(DiagnosisTest, ALaptopOnBattery) {
  write("sys/class/power_supply/AC/type", "Mains\n");
  write("sys/class/power_supply/AC/online", "0\n");
  write("sys/class/power_supply/BAT0/type", "Battery\n");
  write("sys/class/power_supply/BAT0/status", "Discharging\n");
  EXPECT_EQ(only().what, "it runs on battery");
  write("sys/class/power_supply/AC/online", "1\n");
  EXPECT_TRUE(findings().empty());
}

// What cannot be changed comes last, but for a guest, whose host may hide it.
TEST_F(DiagnosisTest, MissingInstructions) {
  state_.features = 0;
  ASSERT_EQ(findings().size(), 1u);
  EXPECT_EQ(findings()[0].remedy, "");
  write("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  ASSERT_EQ(findings().size(), 2u);
  EXPECT_EQ(findings()[0].what, "no huge pages");
  write("proc/cpuinfo", "flags\t\t: fpu hypervisor\n");
  EXPECT_NE(findings()[0].remedy.find("-cpu host"), std::string::npos);
}

TEST_F(DiagnosisTest, TheOneThatHelpsMostIsFirst) {
  write_clock("powersave", 2000, 2400);
  write("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  state_.topology.cpu_quota = 1;
  const std::vector<Finding> found = findings();
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].what, "the container gets a part of the processor");
  EXPECT_EQ(found[1].what, "the clock is held down");
  EXPECT_EQ(found[2].what, "no huge pages");
}

TEST_F(DiagnosisTest, GarbageIsAbsent) {
  for (const char* text : {"", "\n", "x", "-1", "99999999999999999999", "0-"}) {
    write(std::string(kCpus) + "online", text);
    write(std::string(kCpus) + "smt/active", text);
    write("proc/pressure/cpu", std::string("some avg10=") + text);
    write("proc/meminfo", std::string("MemAvailable: ") + text + "\nSwapTotal: " + text);
    write("sys/firmware/dmi/entries/17-0/raw", text);
    write("sys/devices/system/edac/mc/mc0/dimm0/size", text);
    EXPECT_TRUE(findings().empty()) << text;
  }
}

TEST_F(DiagnosisTest, StolenTimeIsRead) {
  EXPECT_FALSE(read_cpu_ticks(root_.string()));
  write("proc/stat", "cpu  10 1 20 100 5 2 2 60 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
  const auto ticks = read_cpu_ticks(root_.string());
  ASSERT_TRUE(ticks);
  EXPECT_EQ(ticks->stolen, 60u);
  EXPECT_EQ(ticks->idle, 105u);
  EXPECT_EQ(ticks->all, 200u);
  write("proc/stat", "cpu  10 1 20 100");
  EXPECT_FALSE(read_cpu_ticks(root_.string()));
}

TEST(Condition, WhatOthersTookIsNeitherOursNorIdle) {
  const auto second = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  const CpuTicks before{.stolen = 7, .idle = 50, .all = 100};
  const CpuTicks after{.stolen = 9, .idle = 50 + 4 * second, .all = 100 + 10 * second};
  EXPECT_DOUBLE_EQ(others_share(before, after, 4.0), 0.2);
  EXPECT_DOUBLE_EQ(others_share(before, after, 0.0), 0.6);
  EXPECT_DOUBLE_EQ(others_share(before, after, 7.0), 0.0);
  EXPECT_DOUBLE_EQ(others_share(before, before, 1.0), 0.0);
}

}  // namespace
}  // namespace nibble
