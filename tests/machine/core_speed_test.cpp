// Measuring unequal cores, on the cores that are here: kinds are made up, speeds are not.
#include "runtime/machine/core_speed.h"

#include <chrono>

#include "tests/machine/made_machine.h"

namespace nibble {
namespace {

using test::FakeMachine;

class CoreSpeedTest : public FakeMachine {
 protected:
  // This machine, every second CPU taken for another kind.
  static Topology two_kinds() {
    Topology machine = detect_topology();
    for (size_t i = 0; i < machine.cpus.size(); ++i) {
      machine.cpus[i].core_kind = static_cast<int>(i % 2);
    }
    machine.core_kinds = machine.cpus.size() > 1 ? 2 : 1;
    return machine;
  }
  std::string kept() const {
    return read_system_file((root_ / "cache/core-speeds").string()).value_or("");
  }
  std::string directory() const { return (root_ / "cache").string(); }
};

TEST_F(CoreSpeedTest, EqualCoresAreAboutEqual) {
  const Topology machine = two_kinds();
  const std::vector<double> speeds = measure_core_speeds(machine, detect_cpu_features());
  ASSERT_EQ(speeds.size(), static_cast<size_t>(machine.core_kinds));
  for (const double speed : speeds) {
    EXPECT_GT(speed, 0.3);  // CPU time: neighbours disturb it through the caches alone
    EXPECT_LE(speed, 1);
  }
}

TEST_F(CoreSpeedTest, AreKeptAndFoundAgain) {
  const Topology machine = two_kinds();
  const std::vector<double> first = core_speeds(machine, detect_cpu_features(), directory());
  const std::string line = kept();
  ASSERT_NE(line.find("CPUs by kind"), std::string::npos) << line;
  // What stands there is what is used: no new measurement.
  std::string made_up = line.substr(0, line.find('\t') + 1);
  for (int kind = 0; kind < machine.core_kinds; ++kind) made_up += kind > 0 ? " 1" : "0.125";
  std::ofstream(root_ / "cache/core-speeds") << made_up << "\n";
  EXPECT_EQ(core_speeds(machine, detect_cpu_features(), directory())[0], 0.125);
  EXPECT_EQ(kept(), made_up + "\n");
}

TEST_F(CoreSpeedTest, GarbageIsMeasuredAgain) {
  const Topology machine = two_kinds();
  core_speeds(machine, detect_cpu_features(), directory());
  const std::string name = kept().substr(0, kept().find('\t') + 1);
  for (const char* text : {"", "0.5", "1 1 1 1", "nan 1", "-1 1", "0 1", "7 1", "1,1", "x"}) {
    if (machine.core_kinds == 1 && std::string(text) == "0.5") continue;
    std::ofstream(root_ / "cache/core-speeds") << name << text << "\n";
    core_speeds(machine, detect_cpu_features(), directory());
    EXPECT_NE(kept(), name + text + "\n") << text;
  }
  std::ofstream(root_ / "cache/core-speeds") << "another machine\t0.5 1\n";
  core_speeds(machine, detect_cpu_features(), directory());
  EXPECT_EQ(kept().find("another machine"), std::string::npos);
}

TEST_F(CoreSpeedTest, ADirectoryThatCannotBeIsNoError) {
  const Topology machine = two_kinds();
  EXPECT_FALSE(core_speeds(machine, detect_cpu_features(), "/proc/nibble").empty());
  EXPECT_FALSE(core_speeds(machine, detect_cpu_features(), "").empty());
}

}  // namespace
}  // namespace nibble
