// The plan for machines that are not here, by what hwloc and /sys say of them.
#include "runtime/machine/team_plan.h"

#include "runtime/machine/cpu_list.h"
#include "runtime/machine/node_model.h"
#include "tests/machine/made_machine.h"

namespace nibble {
namespace {

using test::FakeMachine;
using test::MadeNode;
using test::MadePackage;
using test::MadeXml;

// The CPUs that each worker may use and its node, "0-5@0 6-13@0"; "*" where it is not bound.
std::string workers_text(const TeamPlan& plan) {
  std::string text;
  for (const PlannedWorker& worker : plan.workers) {
    const std::string cpus = worker.cpus.empty() ? "*" : cpu_list_text(worker.cpus);
    text.append(text.empty() ? "" : " ")
        .append(cpus)
        .append("@")
        .append(std::to_string(worker.node));
  }
  return text;
}

std::string times(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all.append(i > 0 ? " " : "").append(text);
  return all;
}

class TeamPlanTest : public FakeMachine {
 protected:
  void machine(const std::vector<MadePackage>& packages, std::set<int> missing = {},
               std::string allowed = {}) {
    const MadeXml xml(packages, missing);
    write("/hwloc.xml", xml.text());
    std::set<int> online = *parse_cpu_list(xml.cpus());
    for (const int cpu : missing) online.erase(cpu);
    allow(allowed.empty() ? xml.cpus() : allowed, cpu_list_text(online));
  }
  TeamPlan plan(const TeamRequest& request = {}) const {
    const Topology found = topology();
    EXPECT_TRUE(found.notes.empty()) << found.notes[0];
    auto made = plan_team(found, request);
    EXPECT_TRUE(made.ok()) << made.error().message;
    return *made;
  }
  std::string error(const TeamRequest& request) const {
    const auto made = plan_team(topology(), request);
    EXPECT_FALSE(made.ok());
    EXPECT_EQ(made.error().code, ErrorCode::kUsage);
    return made.error().message;
  }
};

TEST_F(TeamPlanTest, OneCpu) {
  machine({{{{1}}}});
  const TeamPlan one = plan();
  EXPECT_EQ(one.decoders, 1);
  EXPECT_EQ(one.readers, 1);
  EXPECT_EQ(workers_text(one), "*@0");
  EXPECT_FALSE(one.bind_memory);
}

TEST_F(TeamPlanTest, ADesktopUsesItsCoresAndBindsNothing) {
  machine({{{{8, 2}}}});
  const TeamPlan desktop = plan();
  EXPECT_EQ(desktop.decoders, 8);
  EXPECT_EQ(desktop.readers, 8);
  EXPECT_EQ(workers_text(desktop), times("*@0", 8));
  EXPECT_TRUE(desktop.one_kind());
}

TEST_F(TeamPlanTest, TwoSocketsShareTheCoresByNode) {
  machine({{{{16, 2}}}, {{{16, 2}}}});
  const TeamPlan server = plan();
  EXPECT_EQ(server.decoders, 32);
  EXPECT_EQ(server.readers, 32);
  EXPECT_EQ(server.decoders_of_one_node(), 16);
  EXPECT_EQ(server.nodes, (std::vector<int>{0, 1}));
  EXPECT_TRUE(server.bind_memory);
  EXPECT_EQ(workers_text(server), times("0-31@0", 16) + " " + times("32-63@1", 16));
}

TEST_F(TeamPlanTest, FewThreadsOnTwoSocketsReadFromBoth) {
  machine({{{{16, 2}}}, {{{16, 2}}}});
  TeamRequest request;
  request.threads = 6;
  EXPECT_EQ(workers_text(plan(request)), times("0-31@0", 3) + " " + times("32-63@1", 3));
}

TEST_F(TeamPlanTest, FourSockets) {
  machine({{{{24}}}, {{{24}}}, {{{24}}}, {{{24}}}});
  const TeamPlan server = plan();
  EXPECT_EQ(server.decoders, 96);
  EXPECT_EQ(server.nodes, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(server.decoders_of_one_node(), 24);
  EXPECT_EQ(server.workers[95].node, 3);
  EXPECT_EQ(cpu_list_text(server.workers[95].cpus), "72-95");
}

TEST_F(TeamPlanTest, SubNumaClustersAreNodes) {
  const MadePackage package = {MadeNode{{28, 2}}, MadeNode{{28, 2}}};
  machine({package, package});
  EXPECT_EQ(topology().packages, 2);
  const TeamPlan server = plan();
  EXPECT_EQ(server.decoders, 112);
  EXPECT_EQ(server.nodes, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(server.decoders_of_one_node(), 28);
}

TEST_F(TeamPlanTest, AServerOf128CoresWithSmt) {
  machine({{{{128, 2}}}});
  const TeamPlan server = plan();
  EXPECT_EQ(server.decoders, 128);
  EXPECT_EQ(server.readers, 128);
  EXPECT_FALSE(server.bind_memory);
  EXPECT_TRUE(server.workers[0].cpus.empty());
}

TEST_F(TeamPlanTest, ALaptopDecodesOnPerformanceCoresAndReadsPromptsOnEfficientOnesToo) {
  machine({{{{6, 2, "IntelCore", 4800}, {8, 1, "IntelAtom", 3800}, {2, 1, "IntelAtom", 2100}}}});
  const Topology found = topology();
  ASSERT_EQ(found.core_kinds, 3);
  EXPECT_NEAR(found.kind_speeds[0], 0.22, 0.01);
  EXPECT_NEAR(found.kind_speeds[1], 0.40, 0.01);
  EXPECT_EQ(found.default_threads(), 6);
  EXPECT_EQ(found.default_prompt_threads(), 14);
  const TeamPlan laptop = plan();
  EXPECT_EQ(workers_text(laptop), times("0-11@0", 6) + " " + times("12-19@0", 8));
  EXPECT_FALSE(laptop.one_kind());
  EXPECT_FALSE(laptop.bind_memory);
  EXPECT_DOUBLE_EQ(laptop.workers[0].speed, 1);
  EXPECT_NEAR(laptop.workers[6].speed, 0.40, 0.01);

  TeamRequest measured;  // the low-power cores turn out to help, in this made-up case
  measured.kind_speeds = {0.5, 0.6, 1};
  EXPECT_EQ(plan(measured).readers, 16);
  EXPECT_DOUBLE_EQ(plan(measured).workers[15].speed, 0.5);
}

TEST_F(TeamPlanTest, ALaptopWithoutPerformanceCoresInItsMaskUsesTheOthers) {
  machine({{{{6, 2, "IntelCore", 4800}, {8, 1, "IntelAtom", 3800}, {2, 1, "IntelAtom", 2100}}}}, {},
          "12-21");
  EXPECT_EQ(plan().decoders, 8);
  EXPECT_EQ(plan().readers, 10);  // the slow ones are at more than a third of these
}

// RK3588: /sys alone, four small cores of 414 and four large ones of 1024.
TEST_F(TeamPlanTest, BigLittleByCapacity) {
  allow("0-7", "0-7");
  write("/proc/device-tree/model", std::string("Radxa ROCK 5B") + '\0');
  for (int cpu = 0; cpu < 8; ++cpu) {
    const std::string directory = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    write(directory + "/topology/core_cpus_list", std::to_string(cpu) + "\n");
    write(directory + "/cpu_capacity", cpu < 4 ? "414\n" : "1024\n");
  }
  const Topology board = topology();
  EXPECT_EQ(board.board, "Radxa ROCK 5B");
  ASSERT_EQ(board.core_kinds, 2);
  EXPECT_NEAR(board.kind_speeds[0], 0.404, 0.001);
  EXPECT_EQ(workers_text(plan()), times("4-7@0", 4) + " " + times("0-3@0", 4));
  EXPECT_EQ(plan().decoders, 4);
  EXPECT_EQ(plan().readers, 8);
}

// A kernel without capacities: clocks and the names of the cores (A55 and A76) must do.
TEST_F(TeamPlanTest, BigLittleByMidr) {
  allow("0-5", "0-5");
  for (int cpu = 0; cpu < 6; ++cpu) {
    const std::string directory = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    write(directory + "/topology/core_cpus_list", std::to_string(cpu) + "\n");
    write(directory + "/regs/identification/midr_el1",
          cpu < 4 ? "0x00000000412fd050\n" : "0x00000000414fd0b0\n");
    write(directory + "/cpufreq/cpuinfo_max_freq", "2000000\n");
  }
  EXPECT_EQ(topology().core_kinds, 2);
  EXPECT_EQ(workers_text(plan()), times("4-5@0", 2) + " " + times("0-3@0", 4));
}

TEST_F(TeamPlanTest, ClocksThatDifferLittleAreOneKind) {
  for (int cpu = 0; cpu < 4; ++cpu) {
    const std::string directory = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    write(directory + "/topology/core_cpus_list", std::to_string(cpu) + "\n");
    write(directory + "/cpufreq/cpuinfo_max_freq", cpu == 2 ? "4900000\n" : "4700000\n");
  }
  EXPECT_EQ(topology().core_kinds, 1);
  EXPECT_EQ(workers_text(plan()), times("*@0", 4));
}

TEST_F(TeamPlanTest, ABoardOfFourEqualCoresLeavesOneWhileItDecodes) {
  machine({{{{4}}}});
  write("/proc/device-tree/model", std::string("Raspberry Pi 5 Model B Rev 1.0") + '\0');
  EXPECT_EQ(plan().decoders, 3);
  EXPECT_EQ(plan().readers, 4);
  EXPECT_EQ(topology().default_threads(), 3);
  TeamRequest request;
  request.cpus = "0-3";  // who names them wants them
  EXPECT_EQ(plan(request).decoders, 4);
  request = {};
  request.threads = 4;
  EXPECT_EQ(plan(request).decoders, 4);
  machine({{{{2}}}});
  EXPECT_EQ(plan().decoders, 2);
}

TEST_F(TeamPlanTest, HolesFromCpusThatAreOff) {
  machine({{{{4, 2}}}, {{{4, 2}}}}, {1, 2, 3, 8});
  const TeamPlan server = plan();
  EXPECT_EQ(topology().cpus.size(), 12u);
  EXPECT_EQ(server.decoders, 7);  // a core is gone, two have one hardware thread left
  EXPECT_EQ(workers_text(server), times("0,4-7@0", 3) + " " + times("9-15@1", 4));
}

TEST_F(TeamPlanTest, AContainerOfOneAndAHalfCpus) {
  machine({{{{16, 2}}}, {{{16, 2}}}});
  write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  const TeamPlan container = plan();
  EXPECT_EQ(container.decoders, 1);
  EXPECT_EQ(container.readers, 1);
  EXPECT_EQ(workers_text(container), "0-31@0");
}

TEST_F(TeamPlanTest, NodesCanBeChosenOrIgnored) {
  machine({{{{4}}}, {{{4}}}, {{{4}}}});
  TeamRequest request;
  request.numa = "off";
  EXPECT_EQ(workers_text(plan(request)), times("*@0", 12));
  EXPECT_FALSE(plan(request).bind_memory);
  request.numa = "1-2";
  EXPECT_EQ(workers_text(plan(request)), times("4-7@0", 4) + " " + times("8-11@1", 4));
  EXPECT_EQ(plan(request).nodes, (std::vector<int>{1, 2}));
  EXPECT_TRUE(plan(request).nodes_chosen);
  request.numa = "2";
  EXPECT_EQ(plan(request).nodes, std::vector<int>{2});
  EXPECT_TRUE(plan(request).bind_memory);
  request.numa = "3";
  EXPECT_EQ(error(request),
            "--numa: memory node 3 is not there or not for this process; it may "
            "use 0-2");
  request.numa = "both";
  EXPECT_EQ(error(request), "--numa: 'both' is not a list like auto, off, 0 or 0,1");
  request.numa = "1";
  request.cpus = "0-3";
  EXPECT_EQ(error(request), "--cpus 0-3 and --numa 1 have no CPU in common");
}

TEST_F(TeamPlanTest, CpusCanBeChosen) {
  machine({{{{8, 2}}}});
  TeamRequest request;
  request.cpus = "2-5,8";
  EXPECT_EQ(workers_text(plan(request)), times("2-5,8@0", 3)) << "three cores";
  request.threads = 5;
  EXPECT_EQ(workers_text(plan(request)), times("2-5,8@0", 5));
  request.threads = 9;  // more threads than CPUs
  EXPECT_EQ(plan(request).workers.size(), 9u);
  request.cpus = "14-16";
  EXPECT_EQ(error(request), "--cpus: CPU 16 is not there or not for this process; it may use 0-15");
  request.cpus = "x";
  EXPECT_EQ(error(request), "--cpus: 'x' is not a list like 0-3,8");
}

TEST_F(TeamPlanTest, CountsAreObeyedAndChecked) {
  machine({{{{6, 2, "IntelCore", 4800}, {8, 1, "IntelAtom", 3800}}}});
  TeamRequest request;
  request.threads = 10;
  EXPECT_EQ(plan(request).decoders, 10);
  EXPECT_EQ(plan(request).readers, 10);
  EXPECT_EQ(workers_text(plan(request)), times("0-11@0", 6) + " " + times("12-19@0", 4));
  request.prompt_threads = 3;
  EXPECT_EQ(plan(request).readers, 3);
  EXPECT_EQ(plan(request).workers.size(), 10u);
  request = {};
  request.prompt_threads = 20;
  EXPECT_EQ(plan(request).decoders, 6);
  EXPECT_EQ(plan(request).workers.size(), 20u);
  request.threads = 1025;
  EXPECT_NE(error(request).find("must be 1 to 1024"), std::string::npos);
  request.threads = -1;
  EXPECT_NE(error(request).find("must be 1 to 1024"), std::string::npos);
}

TEST(CpuList, IsReadAndWritten) {
  EXPECT_EQ(cpu_list_text({0, 1, 2, 3, 8, 10, 11}), "0-3,8,10-11");
  EXPECT_EQ(cpu_list_text({}), "");
  EXPECT_EQ(*parse_cpu_list(" 0-3,8\n"), (std::set<int>{0, 1, 2, 3, 8}));
  for (const char* text : {"", "-", "3-1", "1-", "a", "1 2", "65536", "0-99999999999"}) {
    EXPECT_FALSE(parse_cpu_list(text).has_value()) << text;
  }
}

// The figures of docs/numa.md.
TEST(NodeModel, SmallModelsStayOnOneNode) {
  constexpr uint64_t kMiB = 1 << 20;
  EXPECT_FALSE(is_faster_spread(3 * kMiB, 5, 2)) << "the story model";
  EXPECT_TRUE(is_faster_spread(165 * kMiB, 18, 2)) << "Gemma 3 270M";
  EXPECT_TRUE(is_faster_spread(536 * kMiB, 26, 2)) << "Gemma 3 1B";
  EXPECT_NEAR(seconds_per_token(536 * kMiB, 26, 1) / seconds_per_token(536 * kMiB, 26, 2), 1.65,
              0.01);
}

}  // namespace
}  // namespace nibble
