// Clock, heat and power as the program shows them, on a Raspberry Pi that is made up.
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/cli/child.h"

#ifdef NIBBLE_FAKE_BOARD

namespace nibble::test {
namespace {

using nlohmann::json;

class Board : public testing::Test {
 protected:
  void SetUp() override {
    write("devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand");
    write("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500000");
    write("devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "2400000");
    write("class/thermal/thermal_zone0/type", "cpu-thermal");
    write("class/thermal/thermal_zone0/temp", "84500");
    write_flags("0");
  }

  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = board_.file("sys/" + path);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  // As `vcgencmd get_throttled` prints them.
  void write_flags(const std::string& flags) const {
    write("devices/platform/soc/soc:firmware/get_throttled", flags);
  }

  std::string told(const std::vector<std::string>& arguments) const {
    const Outcome outcome =
        run(arguments,
            {.environment = {{"LD_PRELOAD", NIBBLE_FAKE_BOARD}, {"FAKE_BOARD", board_.path()}}});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  }
  std::string bench(const std::string& form) const {
    return told({"bench", kModel, "-p", "8", "-n", "4", "-r", "1", "-t", "1", form});
  }

  Folder board_;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(Board, CpuShowsClockHeatAndPower) {
  write_flags("50000");
  const std::string text = told({"cpu"});
  EXPECT_TRUE(has(text, "1500 of 2400 MHz, governor ondemand")) << text;
  EXPECT_TRUE(has(text, "84.5 C, throttling: (earlier: under-voltage, throttled)")) << text;
  const json thermals = json::parse(told({"cpu", "--json"}))["thermals"];
  EXPECT_EQ(thermals["celsius"], 84.5);
  EXPECT_EQ(thermals["firmware_flags"], "0x50000");
  EXPECT_EQ(thermals["throttled"], false);
}

TEST_F(Board, ReportIsABlockToPaste) {
  const std::string text = bench("--report");
  for (const char* row :
       {"| board | ", "| system | Linux ", "| nibble | ", "| model | ",
        "| clock before | 1500 of 2400 MHz, governor ondemand |",
        "| temperature | 84.5 C before, 84.5 C after |",
        "| throttling | none before, none after, flags 0x0 |", "| pp8 | 1 | ", "| tg4 | 1 | "}) {
    EXPECT_TRUE(has(text, row)) << row << "\n" << text;
  }
  EXPECT_FALSE(has(text, "(throttled)")) << text;
}

TEST_F(Board, SamplesTakenWhileThrottledAreMarked) {
  EXPECT_FALSE(has(bench("--jsonl"), "\"throttled\""));
  write_flags("50004");
  const std::string report = bench("--report");
  EXPECT_TRUE(has(report, "| pp8 (throttled) | ")) << report;
  EXPECT_TRUE(has(report, "| tg4 (throttled) | ")) << report;
  EXPECT_TRUE(has(report, "flags 0x50004 |")) << report;
  EXPECT_TRUE(has(bench("--csv"), "\npp8 (throttled),"));
  for (const json& row : json::parse(bench("--json"))["rows"]) EXPECT_EQ(row["throttled"], true);
}

}  // namespace
}  // namespace nibble::test

#endif
