// nibble pull, and names that are downloaded where a MODEL stands, as a person or a script calls
// them: killed in the middle and started again, on a full disk, at a terminal.
#include "tests/hub/story_hub.h"
#include "tests/model/edited_model.h"

namespace nibble::test {
namespace {

namespace fs = std::filesystem;

class HubCommand : public StoryHub {
 protected:
  Outcome nibble(const std::vector<std::string>& arguments) {
    return run(arguments, {.environment = environment_});
  }
  std::string place() const { return home_.file("store/models/hf/a/b/m-Q4_0.gguf"); }
  bool is_here() const { return read_file(place()) == read_file(kModel); }
};

TEST_F(HubCommand, PullsOnceAndSaysWhere) {
  const Outcome first = nibble({"pull", "hf:a/b"});
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out, "");
  EXPECT_NE(first.err.find(place()), std::string::npos) << first.err;
  EXPECT_NE(first.err.find("running it takes"), std::string::npos) << first.err;
  EXPECT_TRUE(is_here());
  const Outcome second = nibble({"pull", "hf:a/b:Q4_0"});
  EXPECT_EQ(second.code, 0);
  EXPECT_NE(second.err.find("here already"), std::string::npos) << second.err;
  EXPECT_EQ(nibble({"rm", "hf:a/b"}).code, 0);
  EXPECT_FALSE(fs::exists(place()));
}

TEST_F(HubCommand, EndpointsByFlag) {
  environment_["HF_ENDPOINT"] = "http://127.0.0.1:1";
  const Outcome down = nibble({"pull", "hf:a/b", "--retries", "0"});
  EXPECT_EQ(down.code, 69) << down.err;
  EXPECT_EQ(nibble({"pull", "hf:a/b", "--endpoint", hub_.address() + "/"}).code, 0);
}

TEST_F(HubCommand, ANameIsDownloadedWhereAModelStands) {
  const Outcome story =
      nibble({"run", "hf:a/b:Q4_0", "--raw", "-p", "Once upon a time", "-n", "4", "--temp", "0"});
  EXPECT_EQ(story.code, 0) << story.err;
  EXPECT_EQ(
      story.out,
      nibble({"run", kModel, "--raw", "-p", "Once upon a time", "-n", "4", "--temp", "0"}).out);
  const size_t asked = hub_.asks().size();
  EXPECT_EQ(nibble({"run", "hf:a/b:Q4_0", "--raw", "-p", "Once", "-n", "1"}).code, 0);
  EXPECT_EQ(nibble({"bench", "hf:a/b", "-p", "16", "-n", "16", "-r", "1"}).code, 0);
  EXPECT_EQ(hub_.asks().size(), asked);
}

TEST_F(HubCommand, PlanAndInspectDoNotDownloadAModel) {
  for (const char* command : {"plan", "inspect"}) {
    const Outcome outcome = nibble({command, "hf:a/b:Q4_0"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_NE(outcome.out.find("Q4_0"), std::string::npos) << outcome.out;
    EXPECT_FALSE(fs::exists(place()));
  }
}

TEST_F(HubCommand, KilledInTheMiddleItGoesOn) {
  for (const int signal : {SIGKILL, SIGINT, SIGTERM}) {
    fs::remove_all(home_.file("store"));
    hub_.fault = [](const Ask& ask) -> std::optional<Fault> {
      if (ask.path.find("/resolve/") == std::string::npos) return {};
      return Fault{.chunk_ms = 1000};  // it will not be done before it is killed
    };
    const size_t before = hub_.asks("/resolve/").size();
    const pid_t child = fork();
    if (child == 0) {
      const int quiet = open("/dev/null", O_RDWR);
      for (const int fd : {0, 1, 2}) dup2(quiet, fd);
      become_program({"pull", "hf:a/b:Q4_0"}, environment_, {});
    }
    while (hub_.asks("/resolve/").size() == before && waitpid(child, nullptr, WNOHANG) == 0) {
      usleep(1000);
    }
    usleep(200'000);
    kill(child, signal);
    EXPECT_EQ(wait_for_exit(child), 128 + signal);
    EXPECT_FALSE(fs::exists(place()));
    hub_.fault = nullptr;
    const Outcome again = nibble({"pull", "hf:a/b:Q4_0"});
    EXPECT_EQ(again.code, 0) << again.err;
    EXPECT_TRUE(is_here());
  }
}

TEST_F(HubCommand, AFullDisk) {
  const std::string command = "ulimit -f 1000; HOME=" + home_.path() +
                              " NIBBLE_HOME=" + home_.file("store") +
                              " HF_ENDPOINT=" + hub_.address() + " " + kProgram +
                              " pull hf:a/b:Q4_0 2>" + home_.file("err");
  const int status = std::system(command.c_str());
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 74) << read_file(home_.file("err"));
  EXPECT_NE(read_file(home_.file("err")).find("free some"), std::string::npos)
      << read_file(home_.file("err"));
  EXPECT_FALSE(fs::exists(place()));
  EXPECT_EQ(nibble({"pull", "hf:a/b:Q4_0"}).code, 0);
}

TEST_F(HubCommand, AProgressBarAtATerminal) {
  hub_.fault = [](const Ask& ask) -> std::optional<Fault> {
    if (ask.path.find("/resolve/") == std::string::npos) return {};
    return Fault{.chunk_ms = 60};
  };
  Terminal terminal({"pull", "hf:a/b:Q4_0"}, environment_);
  EXPECT_TRUE(terminal.expect("m-Q4_0.gguf ["));
  EXPECT_TRUE(terminal.expect(" of 2.9 MiB"));
  EXPECT_TRUE(terminal.expect("/s"));
  EXPECT_TRUE(terminal.expect("left"));
  EXPECT_TRUE(terminal.expect("got hf:a/b/m-Q4_0.gguf"));
  EXPECT_EQ(terminal.exit_code(), 0);
}

// The story model in two files, as those who split large ones make them.
std::vector<std::string> halves(const Folder& folder) {
  const EditedModel whole = read_model();
  std::vector<std::string> parts;
  for (uint64_t number = 0; number < 2; ++number) {
    EditedModel part;
    if (number == 0) part.metadata = whole.metadata;
    part.set("split.no", {GgufType::kUint16, number});
    part.set("split.count", {GgufType::kUint16, uint64_t{2}});
    part.set("split.tensors.count", {GgufType::kInt32, static_cast<int64_t>(whole.tensors.size())});
    for (size_t i = number; i < whole.tensors.size(); i += 2)
      part.tensors.push_back(whole.tensors[i]);
    write_model(part, folder.file("part"));
    parts.push_back(read_file(folder.file("part")));
  }
  return parts;
}

TEST_F(HubCommand, ASplitModelComesWhole) {
  const std::vector<std::string> parts = halves(home_);
  const std::string first = "big-Q4_0-00001-of-00002.gguf";
  const std::string second = "big-Q4_0-00002-of-00002.gguf";
  hub_.repositories["a/s"] = {{first, parts[0]}, {second, parts[1]}};
  const std::string folder = home_.file("store/models/hf/a/s/");
  // Without its second file there is no model, and none is seen.
  hub_.fault = [&](const Ask& ask) -> std::optional<Fault> {
    if (ask.path.find(second) == std::string::npos ||
        ask.path.find("/resolve/") == std::string::npos)
      return {};
    return Fault{.status = 404};
  };
  const Outcome cut = nibble({"pull", "hf:a/s", "--retries", "0"});
  EXPECT_EQ(cut.code, 66) << cut.err;
  EXPECT_FALSE(fs::exists(folder + first));
  EXPECT_EQ(nibble({"list"}).out.find("a/s"), std::string::npos);
  hub_.fault = nullptr;
  const size_t asked = hub_.asks(first).size();
  const Outcome got = nibble({"pull", "hf:a/s"});
  ASSERT_EQ(got.code, 0) << got.err;
  EXPECT_EQ(hub_.asks(first).size(), asked);  // the first was there
  EXPECT_EQ(read_file(folder + first), parts[0]);
  EXPECT_EQ(read_file(folder + second), parts[1]);
  const Outcome story =
      nibble({"run", "hf:a/s", "--raw", "-p", "Once upon a time", "-n", "4", "--temp", "0"});
  EXPECT_EQ(story.code, 0) << story.err;
  EXPECT_EQ(
      story.out,
      nibble({"run", kModel, "--raw", "-p", "Once upon a time", "-n", "4", "--temp", "0"}).out);
  EXPECT_EQ(nibble({"rm", "hf:a/s"}).code, 0);
  EXPECT_FALSE(fs::exists(folder + first));
  EXPECT_FALSE(fs::exists(folder + second));
}

TEST_F(HubCommand, WhatDoesNotFitIsRefusedBeforeItIsDownloaded) {
  const Outcome refused =
      nibble({"run", "hf:a/b:Q4_0", "--memory", "1M", "--raw", "-p", "Once", "-n", "1"});
  EXPECT_EQ(refused.code, 71) << refused.err;
  EXPECT_NE(refused.err.find("needs"), std::string::npos) << refused.err;
  EXPECT_FALSE(fs::exists(place()));
  // Without anyone to ask, what was asked for is done, and said.
  const Outcome pulled = nibble({"pull", "hf:a/b:Q4_0", "--memory", "1M"});
  EXPECT_EQ(pulled.code, 0) << pulled.err;
  EXPECT_NE(pulled.err.find("this machine cannot run it"), std::string::npos) << pulled.err;
  EXPECT_TRUE(is_here());
}

TEST_F(HubCommand, APersonDecidesAboutWhatDoesNotFit) {
  for (const auto& [answer, code] : {std::pair("n\n", 130), std::pair("y\n", 0)}) {
    Terminal terminal({"pull", "hf:a/b:Q4_0", "--memory", "1M"}, environment_);
    EXPECT_TRUE(terminal.expect("this machine cannot run it"));
    EXPECT_TRUE(terminal.expect("all the same? [y/N]"));
    terminal.type(answer);
    EXPECT_EQ(terminal.exit_code(), code);
    EXPECT_EQ(is_here(), code == 0);
  }
}

TEST_F(HubCommand, ByAProxy) {
  const std::string far = "http://hub.invalid";  // which only the proxy knows
  environment_["HF_ENDPOINT"] = far;
  environment_["HF_TOKEN"] = "hf_secret";
  environment_["http_proxy"] = hub_.address();
  const Outcome pulled = nibble({"pull", "hf:a/b:Q4_0"});
  ASSERT_EQ(pulled.code, 0) << pulled.err;
  EXPECT_TRUE(is_here());
  const std::vector<Ask> asks = hub_.asks();
  ASSERT_GE(asks.size(), 2u);
  for (const Ask& ask : asks) {
    EXPECT_EQ(ask.proxied, far);
    EXPECT_EQ(ask.header("host"), "hub.invalid");
    EXPECT_EQ(ask.header("authorization"), "");  // it would go in the clear
  }
  // Not for these hosts; and one that is not there is named.
  fs::remove_all(home_.file("store"));
  environment_["HF_ENDPOINT"] = hub_.address();
  environment_["no_proxy"] = "127.0.0.1";
  EXPECT_EQ(nibble({"pull", "hf:a/b:Q4_0"}).code, 0);
  EXPECT_EQ(hub_.asks().back().proxied, "");
  fs::remove_all(home_.file("store"));
  environment_["no_proxy"] = "";
  environment_["http_proxy"] = "http://127.0.0.1:1";
  const Outcome down = nibble({"pull", "hf:a/b:Q4_0", "--retries", "0"});
  EXPECT_EQ(down.code, 69) << down.err;
  EXPECT_FALSE(is_here());
}

TEST_F(HubCommand, WrongCommandLines) {
  const std::pair<std::vector<std::string>, int> wrong[] = {
      {{"pull"}, 64},
      {{"pull", "nonsense"}, 64},
      {{"pull", "hf:a"}, 64},
      {{"pull", "hf:a/b", "--connections", "0"}, 64},
      {{"pull", "hf:a/b", "--sha256", "12"}, 64},
      {{"pull", "hf:a/gone"}, 66},
      {{"pull", "hf:a/b:Q8_0"}, 66},
  };
  for (const auto& [arguments, code] : wrong) {
    const Outcome outcome = nibble(arguments);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
}

}  // namespace
}  // namespace nibble::test
