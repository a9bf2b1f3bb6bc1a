// POST /api/pull against a hub on this machine: what is told on the way, that the model can be used
// without a restart, and who may not ask.
#include "tests/hub/story_hub.h"
#include "tests/serve/client.h"

namespace nibble::test {
namespace {

namespace fs = std::filesystem;

std::vector<Json> lines(const std::string& body) {
  std::vector<Json> out;
  for (size_t at = 0; at < body.size();) {
    const size_t end = body.find('\n', at);
    EXPECT_NE(end, std::string::npos) << "a line without an end";
    if (end == std::string::npos) break;
    out.push_back(Json::parse(body.substr(at, end - at)));
    at = end + 1;
  }
  return out;
}

class PullRoute : public StoryHub {
 protected:
  void start(std::vector<std::string> more = {"--store"}, const std::string& context = "256") {
    more.insert(more.end(), {"-c", context});
    server_ = std::make_unique<Server>(more, environment_);
    ASSERT_NE(server_->port(), 0) << server_->said();
  }
  std::vector<std::string> tags() const {
    std::vector<std::string> names;
    const Json body = server_->get("/api/tags").json();
    for (const Json& model : body["models"]) names.push_back(model["name"]);
    return names;
  }
  bool is_here() const { return fs::exists(home_.file("store/models/hf/a/b/m-Q4_0.gguf")); }
  // A file that takes `ms` for each 64 KiB: 45 of them.
  void be_slow(int ms) {
    hub_.fault = [ms](const Ask& ask) -> std::optional<Fault> {
      if (ask.path.find("/resolve/") == std::string::npos) return {};
      return Fault{.chunk_ms = ms};
    };
  }

  std::unique_ptr<Server> server_;
};

const Json kPull = {{"model", "hf:a/b:Q4_0"}};
const Json kStory = {{"prompt", "Once upon a time"}, {"max_tokens", 8}, {"seed", 7}};

TEST_F(PullRoute, GetsAModelThatIsThenServed) {
  start();
  EXPECT_EQ(tags(), (std::vector<std::string>{"stories-gemma3-qat-q4_0"}));
  const Reply reply = server_->post("/api/pull", kPull);
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_TRUE(reply.has("Content-Type: application/x-ndjson"));
  const std::vector<Json> told = lines(reply.body);
  ASSERT_GE(told.size(), 3u) << reply.body;
  EXPECT_EQ(told.front(), Json({{"status", "pulling manifest"}}));
  EXPECT_EQ(told.back(), Json({{"status", "success"}}));
  const std::string content = read_file(kModel);
  hub::Sha256 sum;
  sum.update(content.data(), content.size());
  const std::string digest = "sha256:" + sum.finish();
  uint64_t before = 0;
  int plans = 0;
  for (size_t i = 1; i + 1 < told.size(); ++i) {
    if (told[i].count("digest") == 0) {  // what it is and what it takes
      const std::string status = told[i]["status"];
      EXPECT_EQ(status.find("hf:a/b/m-Q4_0.gguf, "), 0u) << status;
      EXPECT_NE(status.find("running it takes "), std::string::npos) << status;
      ++plans;
      continue;
    }
    EXPECT_EQ(told[i]["digest"], digest);
    EXPECT_EQ(told[i]["total"], content.size());
    EXPECT_GE(told[i]["completed"], before);
    before = told[i]["completed"];
  }
  EXPECT_EQ(before, content.size());
  EXPECT_EQ(plans, 1);
  EXPECT_TRUE(is_here());

  const std::string name = "hf:a/b/m-Q4_0.gguf";
  EXPECT_EQ(tags(), (std::vector<std::string>{"stories-gemma3-qat-q4_0", name}));
  Json story = kStory;
  const Json expected = server_
                            ->post("/v1/completions",
                                   [&] {
                                     story["model"] = "stories-gemma3-qat-q4_0";
                                     return story;
                                   }())
                            .json();
  for (const char* called : {"hf:a/b/m-Q4_0.gguf", "hf:a/b:Q4_0", "hf:a/b"}) {
    story["model"] = called;
    const Reply answer = server_->post("/v1/completions", story);
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.json()["model"], name);
    EXPECT_EQ(answer.json()["choices"], expected["choices"]);
  }
  const Json running = server_->get("/api/ps").json();
  EXPECT_EQ(running["models"].size(), 2u);
  EXPECT_EQ(server_->get("/v1/models").json()["data"].size(), 2u);
  EXPECT_EQ(server_->get("/props").json()["models"].size(), 2u);

  const size_t asked = hub_.asks("/resolve/").size();
  EXPECT_EQ(lines(server_->post("/api/pull", kPull).body).back()["status"], "success");
  EXPECT_EQ(hub_.asks("/resolve/").size(), asked);
}

TEST_F(PullRoute, AModelOfTheStoreIsLoadedWhenItIsAskedFor) {
  fs::create_directories(home_.file("store/models"));
  fs::copy(kModel, home_.file("store/models/mine.gguf"));
  start();
  const Json listed = server_->get("/props").json();
  EXPECT_EQ(listed["models"][1], Json({{"name", "mine"}, {"loaded", false}}));
  EXPECT_EQ(server_->get("/api/ps").json()["models"].size(), 1u);
  const Json props = server_->get("/props?model=mine").json();
  EXPECT_EQ(props["models"][0]["context"], 256);
  EXPECT_EQ(server_->get("/api/ps").json()["models"].size(), 2u);
  // A path is no name, whatever is there.
  for (const std::string& name : {std::string(kModel), home_.file("store/models/mine.gguf"),
                                  std::string("../mine"), std::string("hf:a/none")}) {
    Json story = kStory;
    story["model"] = name;
    const Reply reply = server_->post("/v1/completions", story);
    EXPECT_EQ(reply.status, 404) << reply.body;
  }
}

TEST_F(PullRoute, WhatDoesNotFitTogetherTakesTurns) {
  fs::create_directories(home_.file("store/models"));
  for (const char* name : {"one", "two"}) {
    fs::copy(kModel, home_.file("store/models/") + name + ".gguf");
  }
  start();
  const auto need = static_cast<uint64_t>(
      server_->metric("nibble_model_memory_bytes{model=\"stories-gemma3-qat-q4_0\"}"));
  ASSERT_GT(need, uint64_t{1} << 20);
  // Room for two of three.
  server_ = nullptr;
  start({"--store", "--memory", std::to_string(need * 5 / 2 >> 20) + "M"});
  for (const char* name : {"one", "two", "one"}) {
    Json story = kStory;
    story["model"] = name;
    const Reply reply = server_->post("/v1/completions", story);
    EXPECT_EQ(reply.status, 200) << reply.body;
    const Json running = server_->get("/api/ps").json()["models"];
    EXPECT_LE(running.size(), 2u);
    EXPECT_EQ(running.back()["name"], name);
  }
}

// One answer's cache is there always, the others and what is kept of prompts as there is room.
TEST_F(PullRoute, AnswersAtOnceAreAsManyAsMemoryHolds) {
  const auto memory = [&] {
    const std::string metrics = "\n" + server_->get("/metrics").body;
    double sum = 0;
    const std::string name = "\nnibble_model_memory_bytes{";
    for (size_t at = 0; (at = metrics.find(name, at)) != std::string::npos; ++at) {
      sum += std::atof(metrics.c_str() + metrics.find("} ", at) + 2);
    }
    return sum / (1 << 20);
  };
  const std::vector<std::string> many = {"--store", "--parallel", "64", "--kv", "f32"};
  start(many, "2048");
  const double wanted = memory();
  ASSERT_GT(wanted, 120);
  EXPECT_EQ(server_->said().find("room for"), std::string::npos) << server_->said();
  server_ = nullptr;
  std::vector<std::string> limited = many;
  limited.insert(limited.end(), {"--memory", "100M"});
  start(limited, "2048");
  EXPECT_LT(memory(), 100);
  EXPECT_NE(server_->said().find("room for"), std::string::npos) << server_->said();
  EXPECT_NE(server_->said().find("--parallel"), std::string::npos) << server_->said();
  Json many_answers = kStory;
  many_answers["n"] = 16;
  EXPECT_EQ(server_->post("/v1/completions", many_answers).json()["choices"].size(), 16u);
  EXPECT_LT(memory(), 100);
}

TEST_F(PullRoute, AnswersWholeWhereNoStreamIsWanted) {
  start();
  const Reply reply = server_->post("/api/pull", {{"name", "hf.co/a/b:Q4_0"}, {"stream", false}});
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.json(), Json({{"status", "success"}}));
  EXPECT_TRUE(is_here());
}

TEST_F(PullRoute, ErrorsAreInOllamasForm) {
  start();
  const Json gone = {{"model", "hf:a/gone"}};
  const std::vector<Json> told = lines(server_->post("/api/pull", gone).body);
  EXPECT_NE(told.back()["error"].get<std::string>().find("a/gone"), std::string::npos);
  const std::pair<Json, int> wrong[] = {
      {{{"model", "hf:a/gone"}, {"stream", false}}, 404},
      {{{"model", "nonsense"}}, 400},
      {{{"model", "hf:a"}}, 400},
      {{{"model", "http://127.0.0.1/m.gguf"}}, 400},  // who asks shall not send us anywhere
      {{{"stream", false}}, 400},
  };
  for (const auto& [body, status] : wrong) {
    const Reply reply = server_->post("/api/pull", body);
    EXPECT_EQ(reply.status, status) << reply.body;
    EXPECT_TRUE(reply.json()["error"].is_string()) << reply.body;
  }
  hub_.repositories["a/page"]["m-Q4_0.gguf"] = std::string(4096, 'x');
  const Reply page = server_->post("/api/pull", {{"model", "hf:a/page"}, {"stream", false}});
  EXPECT_EQ(page.status, 500);
  EXPECT_NE(page.body.find("no GGUF file"), std::string::npos) << page.body;
}

TEST_F(PullRoute, WhoMayNotAsk) {
  start({});
  const Reply off = server_->post("/api/pull", kPull);
  EXPECT_EQ(off.status, 403);
  EXPECT_NE(off.body.find("--store"), std::string::npos) << off.body;

  start({"--store", "--api-key", "secret"});
  EXPECT_EQ(server_->post("/api/pull", kPull).status, 401);
  const std::string json = "Content-Type: application/json\r\n";
  const std::string keyed = json + "Authorization: Bearer secret\r\n";
  const auto ask = [&](const std::string& headers) {
    return server_->ask(post("/api/pull", kPull.dump(), headers)).status;
  };
  EXPECT_EQ(ask(keyed + "Origin: http://example.org\r\n"), 403);
  EXPECT_EQ(ask("Content-Type: text/plain\r\nAuthorization: Bearer secret\r\n"), 415);
  EXPECT_EQ(hub_.asks().size(), 0u);
  EXPECT_EQ(ask(keyed), 200);

  start({"--store", "--host", "0.0.0.0"});
  const Reply open = server_->post("/api/pull", kPull);
  EXPECT_EQ(open.status, 403);
  EXPECT_NE(open.body.find("--api-key"), std::string::npos) << open.body;
}

TEST_F(PullRoute, TwoWhoWantTheSameFollowOneDownload) {
  start();
  be_slow(10);
  Client first(server_->port());
  first.send(post("/api/pull", kPull.dump()));
  ASSERT_TRUE(first.expect("completed"));
  Client second(server_->port());
  second.send(post("/api/pull", kPull.dump()));
  EXPECT_EQ(lines(first.reply().body).back()["status"], "success");
  const std::vector<Json> told = lines(second.reply().body);
  EXPECT_EQ(told.front()["status"], "pulling manifest");
  EXPECT_EQ(told.back()["status"], "success");
  EXPECT_EQ(hub_.asks("/api/models/").size(), 1u);
}

TEST_F(PullRoute, WhenNobodyWaitsItEndsAndIsContinuedLater) {
  start();
  be_slow(200);
  {
    Client client(server_->port());
    client.send(post("/api/pull", kPull.dump()));
    ASSERT_TRUE(client.expect("pulling manifest"));
    EXPECT_TRUE(server_->wait_for_metric("nibble_downloads", 1));
  }
  EXPECT_TRUE(server_->wait_for_metric("nibble_downloads", 0));
  EXPECT_FALSE(is_here());
  hub_.fault = nullptr;
  EXPECT_EQ(lines(server_->post("/api/pull", kPull).body).back()["status"], "success");
}

TEST_F(PullRoute, AServerThatStopsDoesNotWaitForIt) {
  start();
  be_slow(1000);
  Client client(server_->port());
  client.send(post("/api/pull", kPull.dump()));
  EXPECT_TRUE(server_->wait_for_metric("nibble_downloads", 1));
  kill(server_->child(), SIGTERM);
  const std::vector<Json> told = lines(client.reply().body);
  EXPECT_NE(told.back()["error"].get<std::string>().find("shutting down"), std::string::npos);
  EXPECT_EQ(server_->wait(), 0);
}

}  // namespace
}  // namespace nibble::test
