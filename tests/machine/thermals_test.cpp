// Heat and power of boards that are made up, file by file.
#include "runtime/machine/thermals.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace nibble {
namespace {

namespace fs = std::filesystem;

class ThermalsTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/nibble_thermals_XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void write_zone(int index, const std::string& type, const std::string& temperature) const {
    const std::string zone = "sys/class/thermal/thermal_zone" + std::to_string(index);
    write(zone + "/type", type + "\n");
    write(zone + "/temp", temperature + "\n");
  }
  void write_firmware(const std::string& flags) const {
    write("sys/devices/platform/soc/soc:firmware/get_throttled", flags + "\n");
  }
  Thermals thermals() const { return read_thermals(root_.string()); }

  fs::path root_;
};

TEST_F(ThermalsTest, OfASystemThatTellsNothingAreAbsent) {
  const Thermals none = thermals();
  EXPECT_EQ(none.governor, "");
  EXPECT_FALSE(none.mhz || none.mhz_max || none.celsius || none.firmware_flags);
  EXPECT_FALSE(none.throttled());
  EXPECT_EQ(none.throttle_text(), "");
}

TEST_F(ThermalsTest, ReadARaspberryPi) {
  for (const char* cpu : {"cpu0", "cpu1", "cpu2", "cpu3"}) {
    const std::string cpufreq = std::string("sys/devices/system/cpu/") + cpu + "/cpufreq/";
    write(cpufreq + "scaling_governor", "ondemand\n");
    write(cpufreq + "scaling_cur_freq", "1500000\n");
    write(cpufreq + "cpuinfo_max_freq", "2400000\n");
  }
  write("sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq", "2400000\n");
  write_zone(0, "cpu-thermal", "61250");
  write_firmware("0");
  const Thermals pi = thermals();
  EXPECT_EQ(pi.governor, "ondemand");
  EXPECT_EQ(pi.mhz, 2400);
  EXPECT_EQ(pi.mhz_max, 2400);
  EXPECT_EQ(pi.celsius, 61.25);
  EXPECT_EQ(pi.firmware_flags, 0u);
  EXPECT_FALSE(pi.throttled());
  EXPECT_EQ(pi.throttle_text(), "");
}

TEST_F(ThermalsTest, FirmwareFlagsAreNamed) {
  struct Case {
    const char* flags;
    bool throttled;
    const char* text;
  };
  for (const Case& each :
       {Case{"1", true, "under-voltage"},
        Case{"e0008", true,
             "near the temperature limit (earlier: clock capped, throttled, near the "
             "temperature limit)"},
        Case{"50000", false, "(earlier: under-voltage, throttled)"},
        Case{"0x50005", true, "under-voltage, throttled (earlier: under-voltage, throttled)"}}) {
    write_firmware(each.flags);
    EXPECT_EQ(thermals().throttled(), each.throttled) << each.flags;
    EXPECT_EQ(thermals().throttle_text(), each.text);
  }
}

TEST_F(ThermalsTest, FirmwareIsFoundBehindTheAddressOfItsBus) {
  write("sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled", "4\n");
  EXPECT_TRUE(thermals().throttled());
}

TEST_F(ThermalsTest, TheProcessorsSensorCountsBeforeHotterOnes) {
  write_zone(0, "acpitz", "80000");
  EXPECT_EQ(thermals().celsius, 80);
  write_zone(1, "x86_pkg_temp", "45000");
  write_zone(2, "cpu-big", "47500");
  EXPECT_EQ(thermals().celsius, 47.5);
}

TEST_F(ThermalsTest, DifferentGovernorsAreAllNamed) {
  write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
  write("sys/devices/system/cpu/cpu4/cpufreq/scaling_governor", "performance\n");
  write("sys/devices/system/cpu/cpufreq/boost", "1\n");
  EXPECT_EQ(thermals().governor, "performance, powersave");
}

TEST_F(ThermalsTest, CoolingOfTheClockIsThrottlingAndAFanIsNot) {
  write("sys/class/thermal/cooling_device0/type", "pwm-fan\n");
  write("sys/class/thermal/cooling_device0/cur_state", "3\n");
  EXPECT_FALSE(thermals().throttled());
  write("sys/class/thermal/cooling_device1/type", "cpufreq-cpu0\n");
  write("sys/class/thermal/cooling_device1/cur_state", "0\n");
  EXPECT_FALSE(thermals().throttled());
  write("sys/class/thermal/cooling_device1/cur_state", "2\n");
  EXPECT_TRUE(thermals().throttled());
  EXPECT_EQ(thermals().throttle_text(), "clock held down to cool");
}

TEST_F(ThermalsTest, GarbageIsAbsent) {
  for (const char* text : {"", "\n", "hot", "-274000", "0", "1000000", "99999999999999999999"}) {
    write_zone(0, "cpu-thermal", text);
    EXPECT_FALSE(thermals().celsius) << text;
  }
  for (const char* text : {"", "x", "-1", "123456789", "0 5x"}) {
    write_firmware(text);
    EXPECT_FALSE(thermals().throttled()) << text;
  }
  write("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "<unknown>\n");
  EXPECT_FALSE(thermals().mhz);
}

TEST(ThrottledBetween, SeesBothEndsAndWhatThePiRemembers) {
  const auto with = [](uint32_t flags) {
    Thermals thermals;
    thermals.firmware_flags = flags;
    return thermals;
  };
  EXPECT_FALSE(throttled_between({}, {}));
  EXPECT_FALSE(throttled_between(with(0), with(0)));
  EXPECT_FALSE(throttled_between(with(0x50000), with(0x50000)));  // long ago
  EXPECT_TRUE(throttled_between(with(0), with(0x40000)));         // came and went
  EXPECT_TRUE(throttled_between(with(4), with(0x40000)));
  EXPECT_TRUE(throttled_between(with(0), with(1)));
}

}  // namespace
}  // namespace nibble
