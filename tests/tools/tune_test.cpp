// nibble tune: the answer is kept, used, shown, and ignored where it is not of this machine.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/tools/program.h"

namespace nibble::tools_test {
namespace {

using nlohmann::json;

class TuneTest : public testing::Test {
 protected:
  void SetUp() override {
    setenv("XDG_CACHE_HOME", folder_.path("cache").c_str(), 1);
    const Output output = run_nibble("tune --anyway --json");
    ASSERT_EQ(output.exit_code, 0) << output.err;
    told_ = json::parse(output.out);
  }
  void TearDown() override { unsetenv("XDG_CACHE_HOME"); }

  std::string path() const { return folder_.path("cache/nibble/tuning.json"); }
  json kept() const { return json::parse(read_file(path())); }
  void keep(const std::string& text) const { std::ofstream(path()) << text; }
  static Output story(const std::string& more = "") {
    return run_nibble("run -p Once --raw -n 8 --temp 0 --json " + more);
  }
  static int threads(const Output& output) { return json::parse(output.out)["stats"]["threads"]; }

  Folder folder_;
  json told_;
};

// One test, as each run takes seconds.
TEST_F(TuneTest, TheAnswerIsKeptShownAndUsed) {
  EXPECT_GE(told_["choice"]["threads"], 1);
  EXPECT_FALSE(told_["trials"].empty());
  json file = kept();
  EXPECT_FALSE(file["key"]["brand"].empty());
  EXPECT_EQ(file["trials"], told_["trials"]);
  EXPECT_EQ(json::parse(run_nibble("cpu --json").out)["tuning"]["choice"], told_["choice"]);
  EXPECT_NE(run_nibble("cpu").out.find("for prompts"), std::string::npos);

  // Loads use it unless they are told not to.
  file["choice"] = {{"isa", ""}, {"threads", 3}, {"prompt_threads", 4}};
  keep(file.dump());
  EXPECT_EQ(threads(story()), 3);
  EXPECT_EQ(threads(story("-t 1")), 1);
  const json rows = json::parse(run_nibble("bench -p 64 -n 16 -r 1 --json").out)["rows"];
  EXPECT_EQ(rows[0]["threads"], 4);
  EXPECT_EQ(rows[1]["threads"], 3);
  const Output off = story("--tune off");
  EXPECT_EQ(off.err.find("tune"), std::string::npos) << off.err;

  // Another level than the usual one is said, and the text is the same.
  file["choice"]["isa"] = "scalar";
  keep(file.dump());
  const Output tuned = story();
  EXPECT_NE(tuned.err.find("scalar is used"), std::string::npos) << tuned.err;
  const Output forced = story("--isa scalar");
  EXPECT_EQ(forced.err.find("is used"), std::string::npos) << forced.err;
  EXPECT_EQ(json::parse(tuned.out)["tokens"], json::parse(off.out)["tokens"]);
  EXPECT_EQ(json::parse(tuned.out)["tokens"], json::parse(forced.out)["tokens"]);
  std::filesystem::remove(path());
  EXPECT_EQ(threads(off), threads(story()));
}

TEST_F(TuneTest, WhatIsNotOfThisMachineIsIgnoredWithANote) {
  const json file = kept();
  json foreign = file;
  foreign["key"]["brand"] = "another";
  json old = file;
  old["key"]["version"] = "0.0.1";
  json unknown = file;
  unknown["choice"]["isa"] = "avx1024";
  json many = file;
  many["choice"]["threads"] = 100000;
  json of_text = file;
  of_text["choice"]["threads"] = "two";
  const std::pair<std::string, const char*> cases[] = {{foreign.dump(), "another machine"},
                                                       {old.dump(), "another machine"},
                                                       {unknown.dump(), "damaged"},
                                                       {many.dump(), "damaged"},
                                                       {of_text.dump(), "damaged"},
                                                       {"", "damaged"},
                                                       {"{\"key\": ", "damaged"},
                                                       {"[]", "damaged"},
                                                       {std::string(100'000, '['), "damaged"}};
  for (const auto& [text, said] : cases) {
    keep(text);
    const Output output = story();
    EXPECT_EQ(output.exit_code, 0) << output.err;
    EXPECT_NE(output.err.find(said), std::string::npos) << text.substr(0, 80) << output.err;
    EXPECT_EQ(json::parse(run_nibble("cpu --json").out)["tuning"], nullptr);
  }
}

// A child for every CPU, so that the trials get half of them at most.
TEST(Tune, KeepsNothingOnABusyMachine) {
  const Folder folder;
  setenv("XDG_CACHE_HOME", folder.path("cache").c_str(), 1);
  std::vector<pid_t> busy(2 * std::thread::hardware_concurrency());
  for (pid_t& child : busy) {
    child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (std::atomic<int> i = 0;; ++i) {
      }
    }
  }
  const Output output = run_nibble("tune");
  for (const pid_t child : busy) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(output.exit_code, 69) << output.err;
  EXPECT_NE(output.err.find("--anyway"), std::string::npos) << output.err;
  EXPECT_FALSE(std::filesystem::exists(folder.path("cache/nibble/tuning.json")));
}

TEST(Tune, WithoutAPlaceForTheAnswerItSaysSo) {
  setenv("XDG_CACHE_HOME", "/proc/nibble", 1);
  const Output output = run_nibble("tune --anyway");
  unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(output.exit_code, 73) << output.err;
}

}  // namespace
}  // namespace nibble::tools_test
