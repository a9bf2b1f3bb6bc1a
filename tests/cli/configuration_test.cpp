// Flag > environment > section of the file > top of the file > default, seen in how many tokens
// come and in the seed that --json states.
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/cli/child.h"

namespace nibble::test {
namespace {

class Configuration : public testing::Test {
 protected:
  // The seed with which a run with these would answer.
  nlohmann::json stats(std::vector<std::string> flags, const std::string& file,
                       Environment environment = {}) {
    std::filesystem::create_directories(folder_.file(".config/nibble"));
    std::ofstream(folder_.file(".config/nibble/config.toml")) << file;
    environment["HOME"] = folder_.path();
    flags.insert(flags.begin(), {"run", kModel, "-p", "Once upon a time", "--raw", "--json"});
    outcome_ = run(flags, {.environment = environment});
    if (outcome_.code != 0) return {{"seed", outcome_.err}};
    return nlohmann::json::parse(outcome_.out)["stats"];
  }
  nlohmann::json seed(const std::vector<std::string>& flags, const std::string& file,
                      const Environment& environment = {}) {
    std::vector<std::string> all = flags;
    all.insert(all.end(), {"-n", "2"});
    return stats(all, file, environment)["seed"];
  }
  // The message of a run that must fail with 64.
  std::string refusal(const std::string& file, const Environment& environment = {}) {
    stats({"-n", "2"}, file, environment);
    EXPECT_EQ(outcome_.code, 64);
    return outcome_.err;
  }

  Folder folder_;
  Outcome outcome_;
};

TEST_F(Configuration, Precedence) {
  const std::string both = "seed = 1\n[run]\nseed = 2  # of this command\n[bench]\nruns = 3\n";
  EXPECT_EQ(seed({}, "seed = 1\n"), 1);
  EXPECT_EQ(seed({}, both), 2);
  EXPECT_EQ(seed({}, both, {{"NIBBLE_SEED", "3"}}), 3);
  EXPECT_EQ(seed({"--seed", "4"}, both, {{"NIBBLE_SEED", "3"}}), 4);
  EXPECT_EQ(seed({}, both, {{"NIBBLE_SEED", ""}}), 2);
}

TEST_F(Configuration, FilesByName) {
  std::ofstream(folder_.file("other.toml")) << "[run]\nseed = 7\n";
  const std::string other = folder_.file("other.toml");
  EXPECT_EQ(seed({}, "seed = 1\n", {{"NIBBLE_CONFIG", other}}), 7);
  std::filesystem::create_directories(folder_.file("xdg/nibble"));
  std::filesystem::copy(other, folder_.file("xdg/nibble/config.toml"));
  EXPECT_EQ(seed({}, "seed = 1\n", {{"XDG_CONFIG_HOME", folder_.file("xdg")}}), 7);
  const Outcome flag = run(
      {"--config", other, "run", kModel, "--raw", "-p", "Once upon a time", "-n", "2", "--json"});
  EXPECT_EQ(nlohmann::json::parse(flag.out)["stats"]["seed"], 7);
  stats({}, "", {{"NIBBLE_CONFIG", folder_.file("gone.toml")}});
  EXPECT_EQ(outcome_.code, 66);
  EXPECT_NE(outcome_.err.find("NIBBLE_CONFIG"), std::string::npos);
}

TEST_F(Configuration, WrongValuesNameTheirSource) {
  const std::string path = folder_.file(".config/nibble/config.toml");
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos ? testing::AssertionSuccess()
                                                : testing::AssertionFailure() << text;
  };
  EXPECT_TRUE(has(refusal("\n[run]\ntemp = hot\n"), "--temp: 'hot'"));
  EXPECT_TRUE(has(outcome_.err, path + ":3"));
  EXPECT_TRUE(has(refusal("", {{"NIBBLE_TOP_P", "2"}}), "(from NIBBLE_TOP_P)"));
  EXPECT_TRUE(
      has(refusal("[run]\nsede = 1\n"), path + ":2: unknown key 'sede'; did you mean 'seed'"));
  EXPECT_TRUE(has(refusal("[rum]\nseed = 1\n"), "did you mean 'run'"));
  EXPECT_TRUE(has(refusal("unknown = 1\n"), "unknown key 'unknown'"));
  EXPECT_TRUE(has(refusal("prompt = 'x'\n"), "unknown key 'prompt'"));
  EXPECT_TRUE(has(refusal("seed = 1\nseed = 2\n"), "line 2: 'seed' is given twice"));
  for (const char* broken : {"seed\n", "seed =\n", "= 1\n", "[run\n", "seed = 1 2\n", "[]\n",
                             "system = \"open\n", "system = \"\\q\"\n", "stop = [1\n", "\x01\n"}) {
    EXPECT_TRUE(has(refusal(broken), "line 1: expected")) << broken;
  }
}

TEST_F(Configuration, TextsFlagsAndLists) {
  // "little" is the fourth token of the known continuation.
  const std::string file =
      "[run]\ntemp = 0\nstop = [\"[#x]\", \"little\",] # text\nmax-tokens = 50\n";
  EXPECT_EQ(stats({}, file)["stop_reason"], "stop");
  EXPECT_EQ(nlohmann::json::parse(outcome_.out)["text"], ", there was a ");
  const Environment json = {{"NIBBLE_JSON", "1"}, {"NIBBLE_MAX_TOKENS", "2"}};
  const Outcome outcome =
      run({"run", kModel, "--raw", "-p", "Once upon a time"}, {.environment = json});
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["tokens"].size(), 2u);
}

TEST_F(Configuration, ModelFromTheEnvironmentGivesWayToAFileOnTheCommandLine) {
  const Environment gone = {{"NIBBLE_MODEL", "/nonexistent/a.gguf"}};
  EXPECT_EQ(run({"run", kModel, "Hi there", "-n", "2"}, {.environment = gone}).code, 0);
  const Outcome outcome = run({"run", "Hi there", "-n", "2"}, {.environment = gone});
  EXPECT_EQ(outcome.code, 66);
  EXPECT_NE(outcome.err.find("/nonexistent/a.gguf"), std::string::npos);
  EXPECT_EQ(run({"bench"}, {.environment = gone}).code, 66);
}

TEST_F(Configuration, HomeMayBeMissingOrUnreadable) {
  for (const char* home : {"", "/nonexistent", "/dev/null", "/proc"}) {
    const Outcome outcome = run({"run", kModel, "--raw", "-p", "Once upon a time", "-n", "2"},
                                {.environment = {{"HOME", home}}});
    EXPECT_EQ(outcome.code, 0) << home << ": " << outcome.err;
  }
}

}  // namespace
}  // namespace nibble::test
