// Detection on machines that are made up, file by file, and on this one.
#include "runtime/machine/topology.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/machine/cgroup.h"
#include "tests/machine/made_machine.h"

namespace nibble {
namespace {

using test::FakeMachine;
namespace fs = std::filesystem;

class Cgroup : public FakeMachine {
 protected:
  // v1 with the CPU and the memory hierarchy at their usual places.
  void use_v1(const std::string& group) const {
    write("/proc/self/cgroup", "5:cpu,cpuacct:" + group + "\n3:memory:" + group +
                                   "\n2:cpuset:/other\n1:name=systemd:/init\n");
    write("/proc/self/mountinfo",
          "30 1 0:3 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
          "31 1 0:4 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  }
};

TEST_F(Cgroup, WithoutLimitsHasNone) {
  const CgroupLimits none = limits();
  EXPECT_EQ(none.cpu_quota, 0);
  EXPECT_EQ(none.memory_limit_bytes, 0u);
  EXPECT_TRUE(none.notes.empty());
}

TEST_F(Cgroup, V2ReadsQuotaAndMemory) {
  write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  write("/sys/fs/cgroup/memory.max", "2147483648\n");
  EXPECT_DOUBLE_EQ(limits().cpu_quota, 1.5);
  EXPECT_EQ(limits().memory_limit_bytes, uint64_t{1} << 31);
  EXPECT_TRUE(limits().notes.empty());
}

TEST_F(Cgroup, V2MaxIsNoLimit) {
  write("/sys/fs/cgroup/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(limits().cpu_quota, 0);
  EXPECT_EQ(limits().memory_limit_bytes, 0u);
  EXPECT_TRUE(limits().notes.empty());
}

TEST_F(Cgroup, V2TakesTheSmallestOfThePath) {
  write("/proc/self/cgroup", "0::/a/b/c\n");
  write("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
  write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/a/b/c/cpu.max", "300000 100000\n");
  write("/sys/fs/cgroup/a/memory.max", "4096000\n");
  write("/sys/fs/cgroup/a/b/memory.max", "1024000\n");
  write("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
  write("/sys/fs/cgroup/other/memory.max", "1\n");
  EXPECT_DOUBLE_EQ(limits().cpu_quota, 2);
  EXPECT_EQ(limits().memory_limit_bytes, 1024000u);
}

TEST_F(Cgroup, V1TakesTheSmallestOfThePath) {
  use_v1("/docker/abc");
  write("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "400000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "25000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "50000\n");
  write("/sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "536870912\n");
  write("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_DOUBLE_EQ(limits().cpu_quota, 0.5);
  EXPECT_EQ(limits().memory_limit_bytes, 536870912u);
  EXPECT_TRUE(limits().notes.empty());
}

TEST_F(Cgroup, V1MinusOneIsNoLimit) {
  use_v1("/");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(limits().cpu_quota, 0);
  EXPECT_TRUE(limits().notes.empty());
}

// A container without its own cgroup namespace: the path is the host's, the mount shows a part.
TEST_F(Cgroup, MountOfAPartIsReadFromThere) {
  write("/proc/self/cgroup", "0::/docker/abc/inner\n");
  write("/proc/self/mountinfo",
        "25 1 0:23 /docker/abc /sys/fs/my\\040cgroup rw - cgroup2 cgroup rw\n");
  write("/sys/fs/my cgroup/memory.max", "7000\n");
  write("/sys/fs/my cgroup/inner/memory.max", "8000\n");
  EXPECT_EQ(limits().memory_limit_bytes, 7000u);
}

TEST_F(Cgroup, GroupOutsideOfTheMountUsesTheMountPoint) {
  write("/sys/fs/cgroup/memory.max", "7000\n");
  write("/sys/fs/memory.max", "10\n");
  write("/proc/self/cgroup", "0::/../../x\n");
  EXPECT_EQ(limits().memory_limit_bytes, 7000u);
  write("/proc/self/cgroup", "0::/abcdef\n");
  write("/proc/self/mountinfo", "25 1 0:23 /abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  write("/sys/fs/cgroup/def/memory.max", "10\n");
  EXPECT_EQ(limits().memory_limit_bytes, 7000u);
}

class CgroupGarbage : public Cgroup, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Values, CgroupGarbage,
                         testing::Values("", "\n", "banana", "-5 100000", "0 100000", "100000 0",
                                         "100000", "1 2 3", "1e5 100000", "max",
                                         "99999999999999999999999 100000", "100000 -1"));

TEST_P(CgroupGarbage, IsIgnoredWithANote) {
  write("/sys/fs/cgroup/cpu.max", GetParam());
  EXPECT_EQ(limits().cpu_quota, 0);
  ASSERT_EQ(limits().notes.size(), 1u);
  EXPECT_EQ(limits().notes[0].find("/sys/fs/cgroup/cpu.max says '"), 0u) << limits().notes[0];
}

TEST_F(Cgroup, GarbageMemoryIsIgnoredWithANote) {
  for (const char* text : {"", "lots", "-7", "0", "12k", "99999999999999999999999"}) {
    write("/sys/fs/cgroup/memory.max", text);
    EXPECT_EQ(limits().memory_limit_bytes, 0u) << text;
    EXPECT_EQ(limits().notes.size(), 1u) << text;
  }
}

TEST_F(Cgroup, GarbageInProcIsNoLimit) {
  for (const char* text : {"", "\n\n", ":::", "0:", "0", "::", "0::", "0::\n1", "cpu\n"}) {
    write("/proc/self/cgroup", text);
    EXPECT_EQ(limits().memory_limit_bytes, 0u) << text;
  }
  write("/proc/self/cgroup", "0::/\n");
  for (const char* text : {"", " - ", " - cgroup2", "1 2 3 4 5 - cgroup2\n", "\\0 - \\"}) {
    write("/proc/self/mountinfo", text);
    EXPECT_EQ(limits().memory_limit_bytes, 0u) << text;
  }
}

TEST_F(Cgroup, HiddenProcIsNoted) {
  remove("/proc/self");
  EXPECT_EQ(limits().cpu_quota, 0);
  EXPECT_EQ(limits().notes.size(), 1u);
}

using TopologyTest = FakeMachine;

TEST_F(TopologyTest, WithoutHwlocIsFlatWithOneNote) {
  const Topology flat = topology();
  ASSERT_EQ(flat.cpus.size(), 4u);
  EXPECT_EQ(flat.cores, 4);
  EXPECT_EQ(flat.nodes, 1);
  EXPECT_EQ(flat.core_kinds, 1);
  EXPECT_EQ(flat.memory_bytes, 8192000000u);
  EXPECT_EQ(flat.default_threads(), 4);
  ASSERT_EQ(flat.notes.size(), 1u);
  EXPECT_NE(flat.notes[0].find("hwloc"), std::string::npos);
  EXPECT_EQ(flat.node_ids, std::vector<int>{0});
  EXPECT_EQ(flat.kind_speeds, std::vector<double>{1});
}

TEST_F(TopologyTest, HasOnlyAllowedCpusThatAreOn) {
  write("/proc/self/status", "Cpus_allowed_list:\t1,3-5\n");
  write("/sys/devices/system/cpu/online", "0-3,5\n");
  const Topology flat = topology();
  ASSERT_EQ(flat.cpus.size(), 3u);
  EXPECT_EQ(flat.cpus[0].os_index, 1);
  EXPECT_EQ(flat.cpus[1].os_index, 3);
  EXPECT_EQ(flat.cpus[2].os_index, 5);
}

TEST_F(TopologyTest, HiddenSystemStillAnswers) {
  remove("/proc");
  remove("/sys");
  const Topology flat = topology();
  EXPECT_GE(flat.cpus.size(), 1u);
  EXPECT_GT(flat.memory_bytes, 0u);
  EXPECT_GE(flat.default_threads(), 1);
  EXPECT_EQ(flat.notes.size(), 4u);  // affinity, hwloc, memory, cgroup
}

TEST_F(TopologyTest, GarbageAffinityFallsBack) {
  for (const char* list : {"", "x", "3-1", "-1", "0-", "0-99999999", "0-3 4", "99999999999"}) {
    write("/proc/self/status", std::string("Cpus_allowed_list:\t") + list + "\n");
    EXPECT_GE(topology().cpus.size(), 1u) << list;
    EXPECT_EQ(topology().notes.size(), 2u) << list;
  }
}

TEST_F(TopologyTest, GarbageHwlocIsFlat) {
  for (const char* xml :
       {"", "<topology", "<?xml version=\"1.0\"?>\n<topology version=\"2.0\"/>"}) {
    write("/hwloc.xml", xml);
    EXPECT_EQ(topology().cores, 4) << xml;
    EXPECT_EQ(topology().notes.size(), 1u) << xml;
  }
}

// Two packages of two cores with two hardware threads, as /sys of a server without hwloc has them.
TEST_F(TopologyTest, WithoutHwlocReadsSys) {
  allow("0-7", "0-7");
  write("/sys/devices/system/node/online", "0,2\n");
  write("/sys/devices/system/node/node0/cpulist", "0-1,4-5\n");
  write("/sys/devices/system/node/node2/cpulist", "2-3,6-7\n");
  for (int cpu = 0; cpu < 8; ++cpu) {
    const std::string directory = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    const int core = cpu % 4;
    const std::string pair = std::to_string(core) + "," + std::to_string(core + 4) + "\n";
    write(directory + "/topology/core_cpus_list", pair);
    write(directory + "/topology/physical_package_id", std::to_string(core / 2) + "\n");
    write(directory + "/cache/index0/type", "Data\n");
    write(directory + "/cache/index0/level", "1\n");
    write(directory + "/cache/index0/size", "48K\n");
    write(directory + "/cache/index0/shared_cpu_list", pair);
  }
  const Topology machine = topology();
  EXPECT_TRUE(machine.notes.empty()) << machine.notes[0];
  EXPECT_EQ(machine.cores, 4);
  EXPECT_EQ(machine.packages, 2);
  EXPECT_EQ(machine.nodes, 2);
  EXPECT_EQ(machine.node_ids, (std::vector<int>{0, 2}));
  EXPECT_EQ(machine.cpus[6].node, 1);
  EXPECT_EQ(machine.cpus[6].core, machine.cpus[2].core);
  ASSERT_EQ(machine.caches.size(), 1u);
  EXPECT_EQ(machine.caches[0].count, 4);
  EXPECT_EQ(machine.caches[0].size_bytes, 48u << 10);
  EXPECT_EQ(machine.caches[0].shared_by_cpus, 2);
  EXPECT_EQ(machine.default_threads(), 4);

  remove("/sys/devices/system/cpu/cpu5/topology");  // half a story is none
  EXPECT_EQ(topology().cores, 8);
  EXPECT_EQ(topology().notes.size(), 1u);
}

TEST_F(TopologyTest, ACpusetWithoutTheMemoryOfANodeIsOneNode) {
  const std::vector<test::MadePackage> two = {{{{2}}}, {{{2}}}};
  write("/hwloc.xml", test::MadeXml(two).text());
  write("/proc/self/status", "Cpus_allowed_list:\t0-3\nMems_allowed_list:\t0-1\n");
  EXPECT_EQ(topology().nodes, 2);
  write("/proc/self/status", "Cpus_allowed_list:\t0-3\nMems_allowed_list:\t1\n");
  EXPECT_EQ(topology().nodes, 1);
  ASSERT_EQ(topology().notes.size(), 1u);
  EXPECT_NE(topology().notes[0].find("node 0"), std::string::npos);
}

class HybridMachine : public FakeMachine {
 protected:
  // 2 performance cores of 2 CPUs (0-3), 4 efficient cores (4-7), 2 NUMA nodes (0-3, 4-7), as
  // hwloc's lstopo writes it.
  void SetUp() override {
    FakeMachine::SetUp();
    fs::copy_file(NIBBLE_SOURCE_DIR "/tests/machine/hybrid.xml", root_ / "hwloc.xml");
    allow("0-7");
  }
  void allow(const std::string& list) const { FakeMachine::allow(list, "0-7"); }
};

TEST_F(HybridMachine, HasKindsSiblingsNodesAndCaches) {
  const Topology machine = topology();
  EXPECT_TRUE(machine.notes.empty()) << machine.notes[0];
  ASSERT_EQ(machine.cpus.size(), 8u);
  EXPECT_EQ(machine.cores, 6);
  EXPECT_EQ(machine.packages, 1);
  EXPECT_EQ(machine.nodes, 2);
  EXPECT_EQ(machine.core_kinds, 2);
  EXPECT_EQ(machine.cpus[0].core, machine.cpus[1].core);
  EXPECT_NE(machine.cpus[1].core, machine.cpus[2].core);
  EXPECT_EQ(machine.cpus[3].core_kind, 1);
  EXPECT_EQ(machine.cpus[4].core_kind, 0);
  EXPECT_EQ(machine.cpus[3].node, 0);
  EXPECT_EQ(machine.cpus[4].node, 1);
  ASSERT_EQ(machine.caches.size(), 3u);
  EXPECT_EQ(machine.caches[0].level, 2);
  EXPECT_EQ(machine.caches[0].count, 2);
  EXPECT_EQ(machine.caches[0].shared_by_cpus, 2);
  EXPECT_EQ(machine.caches[1].size_bytes, size_t{4} << 20);
  EXPECT_EQ(machine.caches[1].count, 1);
  EXPECT_EQ(machine.caches[1].shared_by_cpus, 4);
  EXPECT_EQ(machine.caches[2].level, 3);
  EXPECT_EQ(machine.default_threads(), 2);
}

TEST_F(HybridMachine, OfEfficientCoresAloneUsesThem) {
  allow("4-6");
  const Topology machine = topology();
  EXPECT_EQ(machine.cores, 3);
  EXPECT_EQ(machine.nodes, 1);
  EXPECT_EQ(machine.core_kinds, 1);
  EXPECT_EQ(machine.cpus[0].core_kind, 0);
  EXPECT_EQ(machine.cpus[0].node, 0);
  EXPECT_EQ(machine.default_threads(), 3);
}

TEST_F(HybridMachine, LoneFastCoreWorksWithTheNextKind) {
  allow("0-1,4-7");
  EXPECT_EQ(topology().default_threads(), 5);
}

TEST_F(HybridMachine, CpusThatHwlocDoesNotKnowAreFlat) {
  allow("8-9");
  write("/sys/devices/system/cpu/online", "0-15\n");
  EXPECT_EQ(topology().cores, 2);
  EXPECT_EQ(topology().notes.size(), 1u);
}

TEST_F(HybridMachine, FakeNodesAreOne) {
  write("/proc/cmdline", "quiet numa=fake=4 splash\n");
  EXPECT_EQ(topology().nodes, 1);
  EXPECT_EQ(topology().notes.size(), 1u);
}

TEST_F(HybridMachine, ThreadsFitTheQuota) {
  const std::pair<const char*, int> cases[] = {{"50000 100000", 1},  {"100000 100000", 1},
                                               {"199999 100000", 1}, {"200000 100000", 2},
                                               {"900000 100000", 2}, {"9000000000000000000 1", 2}};
  for (const auto& [quota, threads] : cases) {
    write("/sys/fs/cgroup/cpu.max", quota);
    EXPECT_EQ(topology().default_threads(), threads) << quota;
  }
}

TEST(ThisMachine, HasTheCpusOfTheAffinityMask) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  const Topology machine = detect_topology();
  EXPECT_EQ(machine.cpus.size(), static_cast<size_t>(CPU_COUNT(&set)));
  for (const CpuInfo& cpu : machine.cpus) {
    EXPECT_TRUE(CPU_ISSET(static_cast<size_t>(cpu.os_index), &set));
    EXPECT_LT(cpu.core, machine.cores);
    EXPECT_LT(cpu.node, machine.nodes);
    EXPECT_LT(cpu.package, machine.packages);
    EXPECT_LT(cpu.core_kind, machine.core_kinds);
  }
  EXPECT_GE(machine.default_threads(), 1);
  EXPECT_LE(machine.default_threads(), static_cast<int>(machine.cpus.size()));
  EXPECT_GT(machine.memory_bytes, uint64_t{1} << 26);
}

TEST(ThisMachine, FollowsANarrowerAffinity) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  int last = CPU_SETSIZE - 1;
  while (!CPU_ISSET(static_cast<size_t>(last), &before)) --last;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<size_t>(last), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  const Topology machine = detect_topology();
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  ASSERT_EQ(machine.cpus.size(), 1u);
  EXPECT_EQ(machine.cpus[0].os_index, last);
  EXPECT_EQ(machine.default_threads(), 1);
}

}  // namespace
}  // namespace nibble
