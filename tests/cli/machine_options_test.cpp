// The program on machines that hwloc is made to report (HWLOC_XMLFILE), with the CPUs that are
// here.
#include <sched.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tests/cli/child.h"
#include "tests/machine/made_machine.h"

namespace nibble::test {
namespace {

// CPUs from 0 on that this process may use, at most 8; the made-up machines have as many.
int usable_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 0;
  int count = 0;
  while (count < 8 && CPU_ISSET(static_cast<size_t>(count), &set)) ++count;
  return count;
}

class MadeMachineRun : public testing::Test {
 protected:
  void SetUp() override {
    if (usable_cpus() < 2) GTEST_SKIP() << "needs CPUs 0 and 1";
  }
  Outcome run_on(const std::vector<MadePackage>& packages, std::vector<std::string> more) {
    std::ofstream(folder_.file("hwloc.xml")) << MadeXml(packages).text();
    std::vector<std::string> arguments = {"run",    kModel,   "-p", "Once", "--raw",
                                          "--json", "--temp", "0",  "-n",   "24"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    How how;
    how.environment = {{"HWLOC_XMLFILE", folder_.file("hwloc.xml")},
                       {"HWLOC_THISSYSTEM", "1"},
                       {"NIBBLE_THREADS", "auto"},
                       {"XDG_CACHE_HOME", folder_.file("cache")}};
    return run(arguments, how);
  }
  static std::string text_of(const Outcome& outcome) {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out)["text"];
  }
  std::string speeds() const {
    std::ifstream file(folder_.file("cache/nibble/core-speeds"));
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const Folder folder_;
  const std::vector<MadePackage> equal_ = {{{{2}}}};
  const std::vector<MadePackage> kinds_ = {
      {{{1, 1, "IntelCore", 4000}, {1, 1, "IntelAtom", 3000}}}};
  const std::vector<MadePackage> nodes_ = {{{{1}}}, {{{1}}}};
};

TEST_F(MadeMachineRun, UnequalCoresAreMeasuredOnceAndSayTheSame) {
  const std::string expected = text_of(run_on(equal_, {}));
  EXPECT_EQ(speeds(), "") << "equal cores are not measured";
  EXPECT_EQ(text_of(run_on(kinds_, {"-t", "2"})), expected);
  const std::string measured = speeds();
  EXPECT_NE(measured.find("CPUs by kind 1 1"), std::string::npos) << measured;
  EXPECT_EQ(text_of(run_on(kinds_, {"-t", "2"})), expected);
  EXPECT_EQ(speeds(), measured);
  EXPECT_EQ(text_of(run_on(kinds_, {"-t", "2", "--core-speeds", "0.1,1"})), expected);
  EXPECT_EQ(text_of(run_on(kinds_, {"-t", "2", "--core-speeds", "1,0.3"})), expected);
}

TEST_F(MadeMachineRun, ALoneFastCoreWorksWithTheSlowOne) {
  const Outcome outcome = run_on(kinds_, {"--core-speeds", "0.5,1"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["stats"]["threads"], 2);
}

// The memory of the second node may not be used, as in a cpuset without it; it is not there.
TEST_F(MadeMachineRun, NodesWithoutTheirMemoryAreOne) {
  const std::string expected = text_of(run_on(equal_, {}));
  const Outcome outcome = run_on(nodes_, {});
  EXPECT_EQ(text_of(outcome), expected);
  const nlohmann::json stats = nlohmann::json::parse(outcome.out)["stats"];
  EXPECT_EQ(stats["threads"], 2);
  EXPECT_EQ(stats["memory_nodes"], 1);
  EXPECT_TRUE(stats["weight_pages_placed_right"].is_null());
  EXPECT_NE(outcome.err.find("memory of node 1 (cpuset): one node assumed"), std::string::npos)
      << outcome.err;
  EXPECT_EQ(text_of(run_on(nodes_, {"--numa", "off"})), expected);
}

// A node by name: its memory is asked for and looked at, also where it is the only one.
TEST_F(MadeMachineRun, AChosenNodeHasThePages) {
  const std::string expected = text_of(run_on(equal_, {}));
  const Outcome outcome = run_on(equal_, {"--numa", "0"});
  EXPECT_EQ(text_of(outcome), expected);
  const nlohmann::json share =
      nlohmann::json::parse(outcome.out)["stats"]["weight_pages_placed_right"];
  if (share.is_null()) GTEST_SKIP() << "move_pages is forbidden here";
  EXPECT_EQ(share, 1.0);
}

TEST_F(MadeMachineRun, WrongListsSayWhatIsThere) {
  const Outcome node = run_on(equal_, {"--numa", "5"});
  EXPECT_EQ(node.code, 64);
  EXPECT_NE(node.err.find("memory node 5 is not there"), std::string::npos) << node.err;
  EXPECT_NE(node.err.find("it may use 0"), std::string::npos) << node.err;
  const Outcome cpu = run_on(equal_, {"--cpus", "900"});
  EXPECT_EQ(cpu.code, 64);
  EXPECT_NE(cpu.err.find("CPU 900"), std::string::npos) << cpu.err;
  const Outcome speeds = run_on(equal_, {"--core-speeds", "0.5,1"});
  EXPECT_EQ(speeds.code, 64);
  EXPECT_NE(speeds.err.find("this machine has 1 kind"), std::string::npos) << speeds.err;
  const Outcome threads = run_on(equal_, {"-t", "many"});
  EXPECT_EQ(threads.code, 64);
  EXPECT_NE(threads.err.find("1 to 1024"), std::string::npos) << threads.err;
}

TEST_F(MadeMachineRun, CpusCanBeChosenAndAutoIsTheDefault) {
  const std::string expected = text_of(run_on(equal_, {"-t", "auto"}));
  const Outcome one = run_on(equal_, {"--cpus", "1"});
  EXPECT_EQ(text_of(one), expected);
  EXPECT_EQ(nlohmann::json::parse(one.out)["stats"]["threads"], 1);
  EXPECT_EQ(text_of(run_on(equal_, {"--cpus", "0", "-t", "3"})), expected) << "oversubscribed";
  EXPECT_EQ(text_of(run_on(equal_, {"-t", "1", "--prompt-threads", "2"})), expected);
}

}  // namespace
}  // namespace nibble::test
