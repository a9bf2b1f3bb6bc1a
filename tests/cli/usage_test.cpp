// Command lines that cannot be meant: exit code 64 (or 66) and a message that names the flag, the
// value and what is allowed or was probably meant.
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "nibble/nibble.h"
#include "tests/cli/child.h"

namespace nibble::test {
namespace {

struct Wrong {
  std::vector<std::string> arguments;
  std::vector<std::string> said;  // all of it on stderr
  int code = 64;
};

class Usage : public testing::TestWithParam<Wrong> {};

TEST_P(Usage, IsRefusedWithTheReason) {
  const Outcome outcome = run(GetParam().arguments);
  EXPECT_EQ(outcome.code, GetParam().code);
  EXPECT_EQ(outcome.out, "");
  for (const std::string& text : GetParam().said) {
    EXPECT_NE(outcome.err.find(text), std::string::npos) << text << " is not in: " << outcome.err;
  }
  EXPECT_EQ(outcome.err.find("terminate called"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    All, Usage,
    testing::Values(
        Wrong{{}, {"Usage: nibble", "run", "bench"}}, Wrong{{"rn"}, {"'rn'", "did you mean 'run'"}},
        Wrong{{"frobnicate"}, {"unknown command 'frobnicate'", "nibble --help"}},
        Wrong{{"model.gguf"}, {"nibble run 'model.gguf'"}},
        Wrong{{"run", "--tmep", "1"}, {"'--tmep'", "did you mean '--temp'", "nibble run --help"}},
        Wrong{{"--temp", "1", "run"}, {"nibble run --temp"}},
        Wrong{{"run", "-n", "-5", "x y"}, {"-n", "'-5'", "1 to 1000000000"}},
        Wrong{{"run", "-n", "0", "x y"}, {"-n", "'0'"}},
        Wrong{{"run", "-n", "", "x y"}, {"-n", "''"}},
        Wrong{{"run", "-n", "5x", "x y"}, {"-n", "'5x'"}},
        Wrong{{"run", "-n", "99999999999999999999", "x y"}, {"-n", "99999999999999999999"}},
        Wrong{{"run", "-c", "1e12", "x y"}, {"-c", "'1e12'", "1 to 16777216"}},
        Wrong{{"run", "-c", "1000000000000", "x y"}, {"-c", "'1000000000000'", "1 to 16777216"}},
        Wrong{{"run", "-t", "0", "x y"}, {"-t", "1 to 1024"}},
        Wrong{{"run", "--temp", "nan", "x y"}, {"--temp", "'nan'", "0 to 100"}},
        Wrong{{"run", "--temp", "-1", "x y"}, {"--temp", "'-1'"}},
        Wrong{{"run", "--temp", "inf", "x y"}, {"--temp", "'inf'"}},
        Wrong{{"run", "--top-k", "1.5", "x y"}, {"--top-k", "'1.5'", "whole number"}},
        Wrong{{"run", "--top-p", "1.1", "x y"}, {"--top-p", "'1.1'", "0 to 1"}},
        Wrong{{"run", "--seed", "-1", "x y"}, {"--seed", "18446744073709551615"}},
        Wrong{{"run", "--kv", "q4", "x y"}, {"--kv", "q4", "f16"}},
        Wrong{{"run", "--head", "fast", "x y"}, {"--head", "fast", "exact"}},
        Wrong{{"run", "--isa", "mmx", "x y"}, {"mmx", "scalar"}},
        Wrong{{"run", "--logprobs", "-1", "x y"}, {"--logprobs"}},
        Wrong{{"run", "--temp"}, {"--temp"}}, Wrong{{"bench", "-r", "0"}, {"-r"}},
        Wrong{{"bench", "-p", "1,two"}, {"-p", "'two'"}},
        Wrong{{"bench", "-p", "0", "-n", "0"}, {"nothing to measure"}},
        Wrong{{"perplexity"}, {"MODEL", "required"}}, Wrong{{"perplexity", "x.gguf"}, {"--text"}},
        Wrong{{"perplexity", "gone.gguf", "--text", "/dev/null"}, {"gone.gguf"}, 66},
        Wrong{{"perplexity", "x.gguf", "--ctx", "1"}, {"--ctx", "'1'", "8 to"}},
        Wrong{{"compare"}, {"MODELS", "required"}}, Wrong{{"compare", "x.gguf"}, {"two models"}},
        Wrong{{"run", "hello"}, {"'hello'", "nibble run -p \"hello\""}, 66},
        Wrong{{"run", "Tell", "me"}, {"'Tell'", "nibble run -p \"Tell me\""}, 66},
        Wrong{{"run", "gone.gguf", "hello"}, {"'gone.gguf'"}, 66},
        Wrong{{"run", "-m", "gone.gguf", "hello"}, {"gone.gguf"}, 66},
        Wrong{{"run", kModel, "hello", "--draft", "gone.gguf"}, {"gone.gguf"}, 66},
        Wrong{{"run", kModel, "hello", "--draft", "/etc/passwd"}, {"/etc/passwd"}, 65},
        Wrong{{"run", "hf:nothing", "hello"}, {"hf:OWNER/REPO"}}, Wrong{{"pull"}, {"NAME"}},
        Wrong{{"pull", "hello"}, {"'hello'", "nibble list --all"}},
        Wrong{{"inspect", "gemma3:2b"}, {"did you mean 'gemma3:1b'"}, 66},
        Wrong{{"rm", "gone"}, {"'gone'", "nibble list"}, 66},
        Wrong{{"show", "gone"}, {"'gone'", "nibble list"}, 66},
        Wrong{{"import", "gone.gguf"}, {"gone.gguf"}, 66},
        Wrong{{"--config", "/nonexistent/file", "run"}, {"/nonexistent/file"}, 66},
        Wrong{{"run", "-f", "/nonexistent/file"}, {"/nonexistent/file"}, 66},
        Wrong{{"run", "-f", "/"}, {"/"}, 66},
        Wrong{{"run", "-f", "/dev/zero"}, {"/dev/zero", "16 MiB"}}));

// Every --help: on stdout, short enough for a screen, with an example.
TEST(Help, FitsAScreen) {
  const auto lines = [](const std::string& text) {
    return std::count(text.begin(), text.end(), '\n');
  };
  const Outcome top = run({"--help"});
  EXPECT_EQ(top.code, 0);
  EXPECT_LE(lines(top.out), 24);
  EXPECT_LT(top.out.find("\n  run "), top.out.find("\n  bench "));
  const auto longest = [](const std::string& text) {
    size_t most = 0;
    std::istringstream lines_of(text);
    for (std::string line; std::getline(lines_of, line);) most = std::max(most, line.size());
    return most;
  };
  EXPECT_LE(longest(top.out), 80u);
  for (const char* command : {"run", "bench", "quantize", "imatrix", "perplexity", "compare",
                              "pull", "list", "rm", "show", "import", "serve"}) {
    const Outcome help = run({command, "--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_EQ(help.err, "");
    EXPECT_LE(lines(help.out), 36) << help.out;
    EXPECT_LE(longest(help.out), 80u) << help.out;
    EXPECT_NE(help.out.find("Examples:\n  nibble " + std::string(command)), std::string::npos);
  }
}

TEST(Help, VersionIsTheLibrarys) {
  const Outcome outcome = run({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "nibble " + std::string(version()) + "\n");
}

// A model file that is none.
struct BadFile {
  std::string path;
  int code;
  std::string said;
};

TEST(BadModel, SaysWhatItIs) {
  const Folder folder;
  const auto write_file = [&](const std::string& name, const std::string& content) {
    std::ofstream(folder.file(name), std::ios::binary) << content;
    return folder.file(name);
  };
  std::ifstream model(kModel, std::ios::binary);
  std::string head(100'000, '\0');
  model.read(head.data(), static_cast<std::streamsize>(head.size()));
  const std::string fifo = folder.file("fifo.gguf");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const BadFile files[] = {
      {folder.file("missing.gguf"), 66, "missing.gguf"},
      {folder.path(), 66, folder.path()},
      {fifo, 66, "fifo.gguf"},
      {"/dev/zero", 66, "/dev/zero"},
      {write_file("empty.gguf", ""), 66, "empty.gguf"},
      {write_file("cut.gguf", head), 65, "cut.gguf"},
      {write_file("magic.gguf", "<!DOCTYPE html>" + head), 65, "magic.gguf"},
  };
  for (const BadFile& file : files) {
    for (const char* command : {"run", "bench"}) {
      const Outcome outcome = run({command, file.path}, {.input = "Hello there"});
      EXPECT_EQ(outcome.code, file.code) << command << " " << file.path << ": " << outcome.err;
      EXPECT_NE(outcome.err.find(file.said), std::string::npos) << outcome.err;
      EXPECT_EQ(outcome.out, "");
    }
  }
}

}  // namespace
}  // namespace nibble::test
