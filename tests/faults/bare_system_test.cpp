// The program on a system that lacks something: no /proc, no /sys, a disk that is full or
// read-only. In a mount name space of its own, which only root may have made; skipped elsewhere.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <fstream>
#include <string>

#include "tests/cli/child.h"

namespace nibble::test {
namespace {

// In the child: away from everyone else's mounts.
bool alone() {
  return unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) == 0;
}

bool may_be_alone() {
  const pid_t child = fork();
  if (child == 0) _exit(alone() ? 0 : 1);
  return wait_for_exit(child) == 0;
}

class BareSystem : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!may_be_alone()) GTEST_SKIP() << "needs root for a mount name space of its own";
  }
  static std::vector<std::string> ask() {
    return {"run", kModel, "-p", "Once upon a time", "--temp", "0", "-n", "6"};
  }
};

void cover(const char* path, unsigned long flags, const char* options) {
  if (!alone() || mount("nibble-test", path, "tmpfs", flags, options) != 0) _exit(99);
}

#if !defined(NIBBLE_SANITIZED)  // which read /proc themselves
TEST_F(BareSystem, NeitherProcNorSys) {
  const Outcome normal = run(ask());
  ASSERT_EQ(normal.code, 0) << normal.err;
  const Outcome bare = run(ask(), {.before = [] {
                             if (!alone()) _exit(99);
                             for (const char* path : {"/sys", "/proc"}) {
                               if (mount("nibble-test", path, "tmpfs", 0, "size=4k") != 0)
                                 _exit(99);
                             }
                           }});
  EXPECT_EQ(bare.code, 0) << bare.err;
  EXPECT_EQ(bare.out, normal.out);
  const Outcome machine = run({"cpu"}, {.before = [] { cover("/proc", 0, "size=4k"); }});
  EXPECT_EQ(machine.code, 0) << machine.err;
}
#endif

TEST_F(BareSystem, FullDisk) {
  const Folder folder;
  const Outcome outcome =
      run({"quantize", kModel, folder.file("out"), "Q8_0"},
          {.before = [&folder] { cover(folder.path().c_str(), 0, "size=64k"); }});
  EXPECT_EQ(outcome.code, 74) << outcome.err;
  EXPECT_NE(outcome.err.find("No space left on device; free some space or choose another disk"),
            std::string::npos)
      << outcome.err;
}

TEST_F(BareSystem, ReadOnlyDisk) {
  const Folder folder;
  const Outcome outcome =
      run({"quantize", kModel, folder.file("out"), "Q8_0"},
          {.before = [&folder] { cover(folder.path().c_str(), MS_RDONLY, nullptr); }});
  EXPECT_EQ(outcome.code, 73) << outcome.err;
  EXPECT_NE(outcome.err.find("Read-only file system; choose another place for the output"),
            std::string::npos)
      << outcome.err;
}

// Neither a home, nor a place for temporary files, nor a cache is needed to answer.
TEST_F(BareSystem, NothingCanBeWritten) {
  const Outcome normal = run(ask());
  const Folder home;
  const Outcome outcome = run(ask(), {.environment = {{"HOME", home.path()}}, .before = [&home] {
                                        cover(home.path().c_str(), MS_RDONLY, nullptr);
                                      }});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, normal.out);
}

}  // namespace
}  // namespace nibble::test
