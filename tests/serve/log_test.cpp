// --log-format: a line for each request, with what it took and without what was said.
#include <map>
#include <set>

#include "tests/serve/client.h"

namespace nibble::test {
namespace {

// Lines of the log among what the server said.
std::vector<Json> log_of(Server& server) {
  EXPECT_EQ(server.stop(), 0);
  std::vector<Json> lines;
  const std::string& said = server.said();
  for (size_t at = 0; at < said.size();) {
    const size_t end = std::min(said.find('\n', at), said.size());
    if (said[at] == '{') lines.push_back(Json::parse(said.substr(at, end - at)));
    at = end + 1;
  }
  return lines;
}

const Json kStory = {
    {"prompt", "A secret word"}, {"max_tokens", 8}, {"seed", 7}, {"ignore_eos", true}};

TEST(RequestLogTest, ALineForEachRequest) {
  Server server({"-c", "1024", "--log-format", "json", "--api-key", "hidden-key"});
  ASSERT_NE(server.port(), 0) << server.said();
  const std::string key = "Content-Type: application/json\r\nAuthorization: Bearer hidden-key\r\n";
  Json streamed = kStory;
  streamed["stream"] = true;
  const Reply answer = server.ask(post("/v1/completions", kStory.dump(), key));
  ASSERT_EQ(answer.status, 200);
  EXPECT_EQ(server.ask(post("/v1/completions", streamed.dump(), key)).status, 200);
  EXPECT_EQ(server.ask(post("/v1/completions", "{", key)).status, 400);
  EXPECT_EQ(server.post("/v1/completions", kStory).status, 401);
  EXPECT_EQ(server.ask(get("/nothing?secret=1", "X-Request-Id: mine-1\r\n")).status, 404);
  EXPECT_EQ(server
                .ask(get("/health",
                         "X-Request-Id: b\x01"
                         "d id\r\n"))
                .status,
            400);
  EXPECT_EQ(server.ask("NONSENSE\r\n\r\n").status, 400);
  const std::vector<Json> lines = log_of(server);
  ASSERT_EQ(lines.size(), 7u) << server.said();
  std::map<int, int> statuses;
  std::set<std::string> ids;
  for (const Json& line : lines) {
    ++statuses[line["status"].get<int>()];
    ids.insert(line["id"].get<std::string>());
    EXPECT_EQ(line["client"], "127.0.0.1");
    EXPECT_EQ(line["time"].get<std::string>().size(), 24u);
    EXPECT_GE(line["ms"].get<double>(), 0);
  }
  EXPECT_EQ(statuses, (std::map<int, int>{{200, 2}, {400, 3}, {401, 1}, {404, 1}}));
  EXPECT_EQ(ids.size(), 7u);
  EXPECT_EQ(ids.count("mine-1"), 1u);
  EXPECT_TRUE(answer.has("X-Request-Id: " + lines[0]["id"].get<std::string>())) << answer.head;
  for (const Json& line : {lines[0], lines[1]}) {
    EXPECT_EQ(line["method"], "POST");
    EXPECT_EQ(line["route"], "/v1/completions");
    EXPECT_EQ(line["model"], "stories-gemma3-qat-q4_0");
    EXPECT_EQ(line["prompt_tokens"], answer.json()["usage"]["prompt_tokens"]);
    EXPECT_EQ(line["cached_tokens"], 0);
    EXPECT_EQ(line["answer_tokens"], 8);
    EXPECT_GT(line["tokens_per_s"].get<double>(), 0);
    EXPECT_GE(line["queue_ms"].get<double>(), 0);
    EXPECT_GE(line["first_token_ms"].get<double>(), line["queue_ms"].get<double>());
    EXPECT_GE(line["ms"].get<double>(), line["first_token_ms"].get<double>());
    EXPECT_FALSE(line.contains("cancelled"));
  }
  for (const std::string& secret : {std::string("secret"), std::string("hidden-key"),
                                    answer.json()["choices"][0]["text"].get<std::string>()}) {
    EXPECT_EQ(server.said().find(secret), std::string::npos) << secret;
  }
}

TEST(RequestLogTest, ACancelledAnswerSaysSo) {
  Server server({"-c", "2048", "--log-format", "json"});
  ASSERT_NE(server.port(), 0) << server.said();
  {
    Client client(server.port());
    Json story = kStory;
    story["max_tokens"] = 2000;
    story["stream"] = true;
    client.send(post("/v1/completions", story.dump()));
    ASSERT_TRUE(client.expect("data: "));
  }
  EXPECT_TRUE(server.wait_for_metric("nibble_cancelled_total", 1));
  for (const Json& line : log_of(server)) {
    if (line["route"] != "/v1/completions") continue;
    EXPECT_EQ(line["status"], 200);
    EXPECT_EQ(line["cancelled"], true);
    EXPECT_GT(line["answer_tokens"].get<int>(), 0);
  }
}

TEST(RequestLogTest, AsText) {
  Server server({"--log-format", "text"});
  ASSERT_NE(server.port(), 0) << server.said();
  EXPECT_EQ(server.get("/health").status, 200);
  EXPECT_EQ(server.get("/a%20=\"b").status, 404);
  EXPECT_EQ(server.stop(), 0);
  const std::string& said = server.said();
  EXPECT_NE(said.find(" method=GET route=/health status=200 ms="), std::string::npos) << said;
  EXPECT_NE(said.find(" route=\"/a%20=\\\"b\" status=404 "), std::string::npos) << said;
}

TEST(RequestLogTest, NoneUnlessAskedFor) {
  Server server;
  ASSERT_NE(server.port(), 0) << server.said();
  EXPECT_EQ(server.get("/health").status, 200);
  EXPECT_EQ(server.stop(), 0);
  EXPECT_EQ(server.said().find("/health"), std::string::npos) << server.said();
}

}  // namespace
}  // namespace nibble::test
