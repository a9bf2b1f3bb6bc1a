// The sandbox: what is shut off in the process that entered it. That `nibble run` and the readers
// enter it is tested in tests/cli/sandbox_test.cpp.
#include "tools/nibble/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>
#include <thread>

#include "tests/tools/program.h"

namespace nibble::cli {
namespace {

// Whether `call` fails, shut off, in a child that entered `level` behind `before`.
int outcome(Sandbox level, const std::function<bool()>& call) {
  const pid_t child = fork();
  if (child == 0) {
    if (!enter_sandbox(level)) _exit(77);
    _exit(call() ? 0 : errno == EPERM ? 1 : 2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

constexpr int kWorks = 0, kShut = 1;

class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (outcome(Sandbox::kReadOnly, [] { return true; }) == 77) {
      GTEST_SKIP() << "no seccomp filters here (an emulator, a sanitizer or an old kernel)";
    }
  }
};

bool opens(const std::string& path, int flags) {
  return open(path.c_str(), flags, 0600) >= 0;
}

TEST_F(SandboxTest, FilesOpenForReadingAloneOrNotAtAll) {
  const tools_test::Folder folder;
  const std::string there = folder.path("there");
  std::ofstream(there) << "text";
  for (const Sandbox level : {Sandbox::kReadOnly, Sandbox::kClosed}) {
    const int reading = level == Sandbox::kReadOnly ? kWorks : kShut;
    EXPECT_EQ(outcome(level, [&] { return opens(there, O_RDONLY | O_CLOEXEC); }), reading);
    for (const int flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_CREAT}) {
      EXPECT_EQ(outcome(level, [&] { return opens(there, flags); }), kShut) << flags;
    }
    EXPECT_EQ(outcome(level, [&] { return opens(folder.path("new"), O_CREAT | O_RDONLY); }), kShut);
  }
  EXPECT_EQ(tools_test::read_file(there), "text");
}

TEST_F(SandboxTest, NoNetworkNoProgramsNothingRenamed) {
  const tools_test::Folder folder;
  const std::string there = folder.path("there"), other = folder.path("other");
  std::ofstream(there) << "text";
  const std::function<bool()> calls[] = {
      [] { return socket(AF_INET, SOCK_STREAM, 0) >= 0; },
      [] { return socket(AF_UNIX, SOCK_STREAM, 0) >= 0; },
      [] { return execl("/bin/true", "true", nullptr) == 0; },
      [&] { return std::rename(there.c_str(), other.c_str()) == 0; },
      [&] { return unlink(there.c_str()) == 0; },
      [&] { return link(there.c_str(), other.c_str()) == 0; },
      [&] { return symlink(there.c_str(), other.c_str()) == 0; },
      [&] { return mkdir(other.c_str(), 0700) == 0; },
      [&] { return chmod(there.c_str(), 0777) == 0; },
      [&] { return truncate(there.c_str(), 0) == 0; },
  };
  for (const Sandbox level : {Sandbox::kReadOnly, Sandbox::kClosed}) {
    size_t index = 0;
    for (const auto& call : calls) EXPECT_EQ(outcome(level, call), kShut) << "call " << index++;
  }
  EXPECT_EQ(tools_test::read_file(there), "text");
}

TEST_F(SandboxTest, WhatAnAnswerNeedsWorks) {
  const tools_test::Folder folder;
  const int fd = open(folder.path("open").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(outcome(Sandbox::kClosed, [fd] { return write(fd, "x", 1) == 1; }), kWorks);
  EXPECT_EQ(outcome(Sandbox::kClosed,
                    [] {
                      void* memory = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                      return memory != MAP_FAILED && madvise(memory, 1 << 20, MADV_DONTNEED) == 0;
                    }),
            kWorks);
  EXPECT_EQ(outcome(Sandbox::kClosed,
                    [] {
                      bool ran = false;
                      std::thread([&ran] { ran = true; }).join();
                      return ran;
                    }),
            kWorks);
  close(fd);
}

// Threads that were there before are in it too.
TEST_F(SandboxTest, HoldsForEveryThread) {
  EXPECT_EQ(outcome(Sandbox::kReadOnly,
                    [] {
                      int ready[2], go[2];
                      if (pipe(ready) != 0 || pipe(go) != 0) return false;
                      bool opened = true;
                      int error = 0;
                      std::thread other([&] {
                        char byte = 0;
                        if (write(ready[1], "r", 1) != 1 || read(go[0], &byte, 1) != 1) return;
                        opened = opens("/dev/null", O_RDONLY);
                        error = errno;
                      });
                      char byte = 0;
                      if (read(ready[0], &byte, 1) != 1 || !enter_sandbox(Sandbox::kClosed) ||
                          write(go[1], "g", 1) != 1) {
                        return false;
                      }
                      other.join();
                      errno = error;
                      return opened;
                    }),
            kShut);
}

}  // namespace
}  // namespace nibble::cli
