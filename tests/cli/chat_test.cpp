// The chat at a pseudo-terminal: what a person types and sees.
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "tests/cli/child.h"

namespace nibble::test {
namespace {

const std::string kCtrlC = "\x03";
const std::string kCtrlD = "\x04";

std::vector<std::string> chat(const std::vector<std::string>& more = {}) {
  std::vector<std::string> all = {"run", kModel, "--seed", "1"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(Chat, GreetsAnswersAndLeaves) {
  Terminal terminal({"run", "-n", "40"});
  EXPECT_TRUE(terminal.expect("built-in model"));
  EXPECT_TRUE(terminal.expect("/help"));
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type("Tell me a story about a cat.\r");
  EXPECT_TRUE(terminal.expect("cat.\r\n"));
  EXPECT_TRUE(terminal.expect("\r\n\r\n"));  // after the answer
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.exit_code(), 0);
  EXPECT_TRUE(terminal.is_restored());
}

TEST(Chat, CtrlCStopsTheAnswerAndNotTheProgram) {
  Terminal terminal(chat({"--ignore-eos", "-c", "2048", "-t", "1"}));
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type("Tell me a long story.\r");
  EXPECT_TRUE(terminal.expect("story.\r\n"));
  EXPECT_TRUE(terminal.expect("the"));
  terminal.type(kCtrlC);
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type("/stats\r");
  EXPECT_TRUE(terminal.expect("cancelled"));
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.exit_code(), 0);
  EXPECT_TRUE(terminal.is_restored());
}

TEST(Chat, CtrlCTwiceAtThePromptLeaves) {
  Terminal terminal(chat());
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type("half a line");
  EXPECT_TRUE(terminal.expect("half a line"));
  terminal.type(kCtrlC);
  EXPECT_TRUE(terminal.expect("again"));
  terminal.type(kCtrlC);
  EXPECT_EQ(terminal.exit_code(), 130);
  EXPECT_TRUE(terminal.is_restored());
}

TEST(Chat, CtrlCTwiceWithTimeBetweenStays) {
  Terminal terminal(chat({"-n", "3"}));
  EXPECT_TRUE(terminal.expect("> "));
  for (int i = 0; i < 2; ++i) {
    terminal.type(kCtrlC);
    EXPECT_TRUE(terminal.expect("again"));
    usleep(1'100'000);
  }
  terminal.type("/help\r");
  EXPECT_TRUE(terminal.expect("/system"));
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST(Chat, TermSignalRestoresTheTerminal) {
  Terminal terminal(chat());
  EXPECT_TRUE(terminal.expect("> "));
  terminal.rest(200);  // in the line editor by now
  EXPECT_FALSE(terminal.is_restored());
  kill(terminal.child(), SIGTERM);
  EXPECT_EQ(terminal.exit_code(), 143);
  EXPECT_TRUE(terminal.is_restored());
}

TEST(Chat, StopAndContinueKeepsTheTerminalRight) {
  Terminal terminal(chat());
  EXPECT_TRUE(terminal.expect("> "));
  terminal.rest(200);
  terminal.type("\x1A");  // Ctrl-Z
  int status = 0;
  ASSERT_EQ(waitpid(terminal.child(), &status, WUNTRACED), terminal.child());
  EXPECT_TRUE(WIFSTOPPED(status));
  EXPECT_TRUE(terminal.is_restored());
  kill(terminal.child(), SIGCONT);
  terminal.type("/help\r");
  EXPECT_TRUE(terminal.expect("/system"));
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST(Chat, Commands) {
  Terminal terminal(chat({"-n", "3"}));
  const auto say = [&](const std::string& line, const std::string& answer) {
    EXPECT_TRUE(terminal.expect("> "));
    terminal.type(line + "\r");
    EXPECT_TRUE(terminal.expect(answer)) << line;
  };
  say("/stats", "No answer yet");
  say("/help", "/system");
  say("/set", "temp 1, top-k 64, top-p 0.95");
  say("/set temp 0.5", "\r\n");
  say("/set n 7", "\r\n");
  say("/set", "temp 0.5");
  say("/set temp hot", "temp: 'hot' is not a number from 0 to 100");
  say("/set tmep 1", "did you mean 'temp'");
  say("/hlep", "did you mean '/help'");
  say("/system Be brief.", "System text set");
  say("/clear", "New conversation");
  say("Hi", "\r\n\r\n");
  say("/stats", "tokens/s");
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.exit_code(), 0);
}

// The message arrives with its line breaks: seen in the number of prompt tokens, which a break adds
// one or more to.
TEST(Chat, MessagesOfSeveralLines) {
  Terminal terminal(chat({"-n", "2", "--stats"}));
  const auto prompt_tokens = [&](const std::string& typed) {
    EXPECT_TRUE(terminal.expect("> "));
    terminal.type("/clear\r");
    EXPECT_TRUE(terminal.expect("New conversation"));
    EXPECT_TRUE(terminal.expect("> "));
    terminal.type(typed);
    EXPECT_TRUE(terminal.expect("prompt"));
    return terminal.until("tokens");
  };
  const std::string one = prompt_tokens("cat dog\r");
  const std::string continued = prompt_tokens("cat\\\rdog\r");
  const std::string block = prompt_tokens("\"\"\"cat\rdog\"\"\"\r");
  const std::string long_block = prompt_tokens("\"\"\"\rcat\rdog\r\"\"\"\r");
  EXPECT_NE(one, continued);
  EXPECT_EQ(continued, block);
  EXPECT_EQ(block, long_block);  // the form trims the last newline
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.exit_code(), 0);
}

// While a person thinks, no thread spins: before the first message and after an answer.
TEST(Chat, WaitingUsesNoCpu) {
  Terminal terminal(chat({"-n", "20", "-t", "2"}));
  const auto cpu_ticks = [&] {
    std::ifstream file("/proc/" + std::to_string(terminal.child()) + "/stat");
    std::string text((std::istreambuf_iterator<char>(file)), {});
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::string skip;
    for (int i = 0; i < 11; ++i) fields >> skip;
    long user = -1, system = -1;
    fields >> user >> system;
    return user + system;
  };
  for (int visit = 0; visit < 2; ++visit) {
    EXPECT_TRUE(terminal.expect("> "));
    terminal.rest(200);
    const long before = cpu_ticks();
    ASSERT_GE(before, 0);
    terminal.rest(1000);
    EXPECT_LE(cpu_ticks() - before, sysconf(_SC_CLK_TCK) / 50) << "of a second";
    terminal.type("Tell me a story.\r");
    EXPECT_TRUE(terminal.expect("story.\r\n"));
  }
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST(Chat, HistoryIsKeptAndPrivate) {
  const Folder home;
  const Environment environment = {{"HOME", home.path()}, {"XDG_STATE_HOME", home.file("state")}};
  for (int visit = 0; visit < 2; ++visit) {
    Terminal terminal(chat({"-n", "2"}), environment);
    EXPECT_TRUE(terminal.expect("> "));
    terminal.type(visit == 0 ? "Grüße, 世界\r" : "\x10");  // Ctrl-P: the line before
    EXPECT_TRUE(terminal.expect("Grüße, 世界"));
    terminal.type(visit == 0 ? "" : "\r");
    EXPECT_TRUE(terminal.expect("> "));
    terminal.type(kCtrlD);
    EXPECT_EQ(terminal.exit_code(), 0);
  }
  const std::string path = home.file("state/nibble/history");
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  std::ifstream file(path);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(text, "Grüße, 世界\n");
}

TEST(Chat, WorksWithoutAPlaceForHistory) {
  Terminal terminal(chat({"-n", "2"}), {{"HOME", "/proc"}});
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type("Hi\r");
  EXPECT_TRUE(terminal.expect("\r\n\r\n"));
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST(Chat, CtrlDWhileItAnswersEndsTheChatAfterwards) {
  Terminal terminal(chat({"-n", "1500", "--ignore-eos"}));
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type("Tell me a story.\r");
  EXPECT_TRUE(terminal.expect("there was"));
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST(Chat, FullContextSaysWhatToDo) {
  Terminal terminal(chat({"-c", "48", "--ignore-eos"}));
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type("Tell me a story.\r");
  EXPECT_TRUE(terminal.expect("context of 48 tokens is full: /clear"));
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type("And now?\r");
  EXPECT_TRUE(terminal.expect("/clear"));
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type("/clear\r");
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.exit_code(), 0);
}

// Waiting for a person costs nothing.
TEST(Chat, SleepsWhileNobodyTypes) {
  Terminal terminal(chat({"-n", "3"}));
  EXPECT_TRUE(terminal.expect("> "));
  terminal.type("Hi\r");
  EXPECT_TRUE(terminal.expect("\r\n\r\n"));
  EXPECT_TRUE(terminal.expect("> "));
  const auto ticks = [&] {
    std::ifstream stat("/proc/" + std::to_string(terminal.child()) + "/stat");
    std::string word;
    long sum = 0;
    for (int field = 1; field <= 15 && stat >> word; ++field) {
      if (field >= 14) sum += std::stol(word);
    }
    return sum;
  };
  usleep(300'000);
  const long before = ticks();
  usleep(1'000'000);
  EXPECT_LE(ticks() - before, 2);  // of 100 a second
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.exit_code(), 0);
}

}  // namespace
}  // namespace nibble::test
