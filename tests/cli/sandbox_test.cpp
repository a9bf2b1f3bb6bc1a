// That the program gives up what it does not need: read in /proc from a chat that waits for a line.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/cli/child.h"

namespace nibble::test {
namespace {

// How many filters are in force in each thread of a process (field Seccomp_filters), the fewest.
int filters(pid_t process) {
  int fewest = 1000;
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    std::ifstream status(task.path() / "status");
    std::string name;
    for (int value = 0; status >> name;) {
      if (name == "Seccomp_filters:" && status >> value) fewest = std::min(fewest, value);
    }
  }
  return fewest == 1000 ? -1 : fewest;
}

class SandboxedRun : public ::testing::Test {
 protected:
  void SetUp() override {
#if defined(NIBBLE_SANITIZED)
    GTEST_SKIP() << "sanitizers open files of their own";
#endif
    own_ = filters(getpid());
    const Outcome forced = run({"run", kModel, "-p", "Once", "-n", "1", "--sandbox", "on"});
    if (forced.code == 69 || own_ < 0) GTEST_SKIP() << "no seccomp filters here: " << forced.err;
    ASSERT_EQ(forced.code, 0) << forced.err;
  }
  int own_ = 0;
};

TEST_F(SandboxedRun, AChatIsClosedAndKeepsItsHistory) {
  Terminal chat({"run", kModel, "--temp", "0", "-n", "5", "-t", "2"});
  ASSERT_TRUE(chat.expect("> "));
  EXPECT_EQ(filters(chat.child()), own_ + 1);
  chat.type("Tell me of a cat.\r");
  ASSERT_TRUE(chat.expect("> "));
  chat.type("/stats\r");
  ASSERT_TRUE(chat.expect("tokens/s"));
  ASSERT_TRUE(chat.expect("> "));
  chat.type("/exit\r");
  EXPECT_EQ(chat.exit_code(), 0);
  std::ifstream history(chat.home(".local/state/nibble/history"));
  std::ostringstream lines;
  lines << history.rdbuf();
  EXPECT_NE(lines.str().find("Tell me of a cat.\n"), std::string::npos) << lines.str();
}

TEST_F(SandboxedRun, SwitchedOffThereIsNone) {
  Terminal chat({"run", kModel, "--sandbox", "off"});
  ASSERT_TRUE(chat.expect("> "));
  EXPECT_EQ(filters(chat.child()), own_);
}

TEST_F(SandboxedRun, TheTextIsTheSame) {
  const std::vector<std::string> ask = {"run", kModel, "-p", "Once upon", "--temp", "0", "-n", "8"};
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{}, {"--stats"}, {"--json"}, {"--draft", kModel}}) {
    std::vector<std::string> on = ask, off = ask;
    on.insert(on.end(), more.begin(), more.end());
    off.insert(off.end(), more.begin(), more.end());
    off.insert(off.end(), {"--sandbox", "off"});
    const Outcome inside = run(on), outside = run(off);
    EXPECT_EQ(inside.code, 0) << inside.err;
    if (more.empty() || more[0] != "--json") {
      EXPECT_EQ(inside.out, outside.out);
    }
    // What --stats tells is all there.
    EXPECT_EQ(std::count(inside.err.begin(), inside.err.end(), '\n'),
              std::count(outside.err.begin(), outside.err.end(), '\n'))
        << inside.err << outside.err;
  }
}

TEST_F(SandboxedRun, ReadersAreClosedToo) {
  const std::string out = run({"inspect", kModel}).out;
  EXPECT_NE(out.find("gemma3"), std::string::npos);
  EXPECT_EQ(run({"tokenize", kModel}, {.input = "a b"}).code, 0);
}

}  // namespace
}  // namespace nibble::test
