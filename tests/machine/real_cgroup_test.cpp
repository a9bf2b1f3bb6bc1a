// A control group made for real, where this machine allows it (root, and a writable hierarchy).
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "runtime/machine/topology.h"

namespace nibble {
namespace {

// A group of its own with a quota of one and a half CPUs; removed at the end.
class QuotaGroup {
 public:
  // `problem` stays empty when the group is there.
  QuotaGroup(const std::string& hierarchy, const std::string& file, const std::string& quota)
      : path_(hierarchy + "/nibble-test-" + std::to_string(getpid())) {
    if (mkdir(path_.c_str(), 0755) != 0) {
      problem = path_ + ": " + std::strerror(errno);
      return;
    }
    made_ = true;
    const std::string name = path_ + "/" + file;
    if (access(name.c_str(), F_OK) != 0) {
      problem = "no " + file + " in " + hierarchy;
    } else if (!write(name, quota)) {
      problem = name + " cannot be written";
    }
  }
  QuotaGroup(const QuotaGroup&) = delete;
  QuotaGroup& operator=(const QuotaGroup&) = delete;
  ~QuotaGroup() {
    if (made_) rmdir(path_.c_str());
  }
  bool enter() const { return write(path_ + "/cgroup.procs", std::to_string(getpid())); }

  std::string problem;

 private:
  static bool write(const std::string& name, const std::string& text) {
    std::ofstream file(name);
    file << text << std::flush;
    return file.good();
  }
  std::string path_;
  bool made_ = false;
};

// In a child, which ends in the group: 0 when the limit is seen and obeyed.
int look_from_inside(const QuotaGroup& group) {
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
    const QuotaGroup group(hierarchy, file, quota);
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
