// A control group made for real, where this machine allows it (root, and a writable hierarchy).
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>

#include "runtime/machine/topology.h"
#include "tests/machine/real_group.h"

namespace nibble {
namespace {

using test::RealGroup;

// In a child, which ends in the group: 0 when the limit is seen and obeyed.
int look_from_inside(const RealGroup& group) {
  const pid_t child = fork();
  if (child == 0) {
    if (!group.enter()) _exit(1);
    const Topology machine = detect_topology();
    if (machine.cpu_quota != 1.5) _exit(2);
    if (machine.default_threads() != 1 || machine.default_prompt_threads() != 1) _exit(3);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

TEST(RealCgroup, AQuotaOfOneAndAHalfCpusIsOneThread) {
  std::string reasons;
  for (const auto& [hierarchy, file, quota] :
       {std::array{"/sys/fs/cgroup", "cpu.max", "150000 100000"},
        std::array{"/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "150000"},
        std::array{"/sys/fs/cgroup/cpu,cpuacct", "cpu.cfs_quota_us", "150000"}}) {
    const RealGroup group(hierarchy, file, quota);
    if (group.problem.empty()) {
      EXPECT_EQ(look_from_inside(group), 0)
          << hierarchy << ": 1 cannot enter, 2 another quota seen, 3 more threads than that";
      return;
    }
    reasons += "\n  " + group.problem;
  }
  GTEST_SKIP() << "no control group can be made here:" << reasons;
}

}  // namespace
}  // namespace nibble
