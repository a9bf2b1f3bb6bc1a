// The OpenAI routes against the program itself, with the built-in story model: what is answered, in
// which form, and that it is the answer of `nibble run`.
#include "tests/serve/client.h"

namespace nibble::test {
namespace {

class OpenAiTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new Server({"-c", "1024"}); }
  static void TearDownTestSuite() { delete std::exchange(server_, nullptr); }
  void SetUp() override { ASSERT_NE(server_->port(), 0) << server_->said(); }

  static Server* server_;
};
Server* OpenAiTest::server_ = nullptr;

const Json kStory = {{"prompt", "Once upon a time"}, {"max_tokens", 24}, {"seed", 7}};

Json with(Json body, const Json& more) {
  body.update(more);
  return body;
}

TEST_F(OpenAiTest, ACompletionIsWhatRunSays) {
  const Reply reply = server_->post("/v1/completions", kStory);
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_TRUE(reply.has("Content-Type: application/json"));
  const Json body = reply.json();
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["usage"]["completion_tokens"], 24);
  const Outcome run_alone =
      run({"run", kModel, "--raw", "-p", "Once upon a time", "-n", "24", "--seed", "7", "--json"});
  EXPECT_EQ(body["choices"][0]["text"], Json::parse(run_alone.out)["text"]);
}

TEST_F(OpenAiTest, AStreamIsTheSameInPieces) {
  const Json whole = server_->post("/v1/completions", kStory).json();
  const Reply reply = server_->post(
      "/v1/completions",
      with(kStory, {{"stream", true}, {"stream_options", {{"include_usage", true}}}}));
  ASSERT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.has("Content-Type: text/event-stream"));
  std::string text;
  const std::vector<Json> pieces = events(reply.body);
  ASSERT_GT(pieces.size(), 5u);
  for (const Json& piece : pieces) {
    if (!piece["choices"].empty()) text += piece["choices"][0]["text"].get<std::string>();
    EXPECT_EQ(piece["id"], pieces[0]["id"]);
  }
  EXPECT_EQ(text, whole["choices"][0]["text"]);
  EXPECT_EQ(pieces[pieces.size() - 2]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(pieces.back()["choices"], Json::array());
  EXPECT_EQ(pieces.back()["usage"]["completion_tokens"], 24);
}

TEST_F(OpenAiTest, AChatAnswers) {
  const Json question = {{"model", "stories-gemma3-qat-q4_0"},
                         {"messages", {{{"role", "user"}, {"content", "Once upon a time"}}}},
                         {"max_completion_tokens", 16},
                         {"temperature", 0}};
  const Json body = server_->post("/v1/chat/completions", question).json();
  EXPECT_EQ(body["object"], "chat.completion");
  const Json& choice = body["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_FALSE(choice["message"]["content"].get<std::string>().empty());
  EXPECT_EQ(body["usage"]["completion_tokens"], 16);

  // Parts of text are one text, and a stream begins with the role.
  Json streamed = question;
  streamed["messages"][0]["content"] = {{{"type", "text"}, {"text", "Once upon "}},
                                        {{"type", "text"}, {"text", "a time"}}};
  streamed["stream"] = true;
  const std::vector<Json> pieces = events(server_->post("/v1/chat/completions", streamed).body);
  EXPECT_EQ(pieces[0]["choices"][0]["delta"]["role"], "assistant");
  std::string text;
  for (const Json& piece : pieces) {
    text += piece["choices"][0]["delta"].value("content", std::string());
  }
  EXPECT_EQ(text, choice["message"]["content"]);
  EXPECT_EQ(pieces.back()["choices"][0]["finish_reason"], "length");
}

TEST_F(OpenAiTest, SeveralAnswersHaveSeedsThatFollow) {
  const Json two = server_->post("/v1/completions", with(kStory, {{"n", 2}})).json();
  ASSERT_EQ(two["choices"].size(), 2u);
  EXPECT_NE(two["choices"][0]["text"], two["choices"][1]["text"]);
  const Json next = server_->post("/v1/completions", with(kStory, {{"seed", 8}})).json();
  EXPECT_EQ(two["choices"][1]["text"], next["choices"][0]["text"]);
  EXPECT_EQ(two["choices"][1]["index"], 1);

  const Json prompts =
      server_
          ->post("/v1/completions",
                 with(kStory, {{"prompt", {"The cat", "Once upon a time"}}, {"echo", true}}))
          .json();
  EXPECT_EQ(prompts["choices"][0]["text"].get<std::string>().find("The cat"), 0u);
  EXPECT_EQ(prompts["choices"][1]["text"].get<std::string>(),
            "Once upon a time" + two["choices"][0]["text"].get<std::string>());
}

TEST_F(OpenAiTest, StopsBeforeAStopString) {
  const Json all = server_->post("/v1/completions", with(kStory, {{"max_tokens", 60}})).json();
  const auto text = all["choices"][0]["text"].get<std::string>();
  const std::string stop = text.substr(20, 6);
  const Json cut =
      server_->post("/v1/completions", with(kStory, {{"max_tokens", 60}, {"stop", stop}})).json();
  EXPECT_EQ(cut["choices"][0]["text"], text.substr(0, text.find(stop)));
  EXPECT_EQ(cut["choices"][0]["finish_reason"], "stop");
}

TEST_F(OpenAiTest, LogProbabilitiesAreOfTheTokens) {
  const Json text =
      server_->post("/v1/completions", with(kStory, {{"logprobs", 3}, {"temperature", 0}})).json();
  const Json& logprobs = text["choices"][0]["logprobs"];
  ASSERT_EQ(logprobs["tokens"].size(), 24u);
  std::string joined;
  for (size_t i = 0; i < 24; ++i) {
    joined += logprobs["tokens"][i].get<std::string>();
    EXPECT_EQ(logprobs["top_logprobs"][i].size(), 3u);
    // Greedy: the token is the likeliest.
    EXPECT_EQ(logprobs["top_logprobs"][i][logprobs["tokens"][i].get<std::string>()],
              logprobs["token_logprobs"][i]);
    EXPECT_LE(logprobs["token_logprobs"][i], 0.0);
  }
  EXPECT_EQ(joined, text["choices"][0]["text"]);

  const Json chat = server_
                        ->post("/v1/chat/completions",
                               {{"messages", {{{"role", "user"}, {"content", "The cat"}}}},
                                {"max_tokens", 5},
                                {"logprobs", true},
                                {"top_logprobs", 2}})
                        .json();
  const Json& content = chat["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 5u);
  EXPECT_EQ(content[0]["top_logprobs"].size(), 2u);
  EXPECT_EQ(content[0]["bytes"].size(), content[0]["token"].get<std::string>().size());
}

TEST_F(OpenAiTest, ASharedBeginningIsComputedOnce) {
  std::string prompt = "Once upon a time";
  for (int i = 0; i < 60; ++i) prompt += " there was a cat and a dog";
  const Json ask = {{"prompt", prompt}, {"max_tokens", 8}, {"seed", 1}};
  const Json first = server_->post("/v1/completions", ask).json();
  const Json second = server_->post("/v1/completions", ask).json();
  EXPECT_EQ(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_GE(second["usage"]["prompt_tokens_details"]["cached_tokens"], 128);
  EXPECT_EQ(first["choices"], second["choices"]);
}

TEST_F(OpenAiTest, ModelsAreListedAndNamed) {
  const Json list = server_->get("/v1/models").json();
  ASSERT_EQ(list["data"].size(), 1u);
  EXPECT_EQ(list["data"][0]["id"], "stories-gemma3-qat-q4_0");
  EXPECT_EQ(server_->get("/v1/models/stories-gemma3-qat-q4_0").status, 200);
  const Reply other = server_->post("/v1/completions", with(kStory, {{"model", "gpt-4o"}}));
  EXPECT_EQ(other.status, 404);
  EXPECT_EQ(other.json()["error"]["code"], "model_not_found");
  EXPECT_NE(other.body.find("stories-gemma3-qat-q4_0"), std::string::npos);
}

TEST_F(OpenAiTest, TokensGoThereAndBack) {
  const Json tokens = server_->post("/tokenize", {{"content", "The cat sat."}}).json();
  EXPECT_GT(tokens["tokens"].size(), 2u);
  EXPECT_EQ(server_->post("/detokenize", tokens).json()["content"], "The cat sat.");
  const Json by_ids =
      server_->post("/v1/completions", {{"prompt", tokens["tokens"]}, {"max_tokens", 3}}).json();
  EXPECT_EQ(by_ids["usage"]["prompt_tokens"], tokens["tokens"].size());
  const Json props = server_->get("/props").json();
  EXPECT_EQ(props["models"][0]["context"], 1024);
}

TEST_F(OpenAiTest, MetricsCount) {
  const double before = server_->metric("nibble_answer_tokens_total");
  server_->post("/v1/completions", kStory);
  EXPECT_EQ(server_->metric("nibble_answer_tokens_total"), before + 24);
  EXPECT_EQ(server_->metric("nibble_queue_length"), 0);
  EXPECT_GT(server_->metric("nibble_model_memory_bytes"), 1e6);
}

TEST_F(OpenAiTest, HeadHasNoBodyAndConnectionsAreKept) {
  Client client(server_->port());
  client.send("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + get("/health") + get("/health"));
  EXPECT_EQ(client.reply(kPatienceMs, false).status, 200);
  EXPECT_EQ(client.reply().body, R"({"status":"ok"})");
  EXPECT_EQ(client.reply().status, 200);
  client.send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(client.reply().closed);
}

struct Wrong {
  const char* path;
  Json body;
  const char* param;
  const char* said;
};

void PrintTo(const Wrong& wrong, std::ostream* out) {
  *out << wrong.path << " " << wrong.body.dump();
}

class WrongFieldTest : public OpenAiTest, public testing::WithParamInterface<Wrong> {};

TEST_P(WrongFieldTest, IsRefusedByName) {
  const Wrong& wrong = GetParam();
  const Reply reply = server_->post(wrong.path, wrong.body);
  EXPECT_EQ(reply.status, 400) << reply.body;
  const Json error = reply.json()["error"];
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(error["param"], wrong.param);
  EXPECT_NE(error["message"].get<std::string>().find(wrong.said), std::string::npos)
      << error["message"];
}

const Json kMessages = {{{"role", "user"}, {"content", "hi"}}};
constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kText = "/v1/completions";

INSTANTIATE_TEST_SUITE_P(
    All, WrongFieldTest,
    testing::Values(
        Wrong{kText, with(kStory, {{"temperature", -1}}), "temperature", "0 to 100"},
        Wrong{kText, with(kStory, {{"temperature", "hot"}}), "temperature", "\"hot\""},
        Wrong{kText, with(kStory, {{"max_tokens", -5}}), "max_tokens", "-5"},
        Wrong{kText, with(kStory, {{"max_tokens", 1.5}}), "max_tokens", "whole number"},
        Wrong{kText, with(kStory, {{"max_tokens", 1e300}}), "max_tokens", "whole number"},
        Wrong{kText, with(kStory, {{"n", 0}}), "n", "1 to 16"},
        Wrong{kText, with(kStory, {{"n", 17}}), "n", "1 to 16"},
        Wrong{kText, with(kStory, {{"n", -1}}), "n", "1 to 16"},
        Wrong{kText, with(kStory, {{"n", 18446744073709551615u}}), "n", "1 to 16"},
        Wrong{kText, with(kStory, {{"top_p", 1.1}}), "top_p", "0 to 1"},
        Wrong{kText, with(kStory, {{"top_k", -1}}), "top_k", "0 to"},
        Wrong{kText, with(kStory, {{"logprobs", 21}}), "logprobs", "0 to 20"},
        Wrong{kText, with(kStory, {{"presence_penalty", 3}}), "presence_penalty", "-2 to 2"},
        Wrong{kText, with(kStory, {{"stream", "yes"}}), "stream", "true or false"},
        Wrong{kText, with(kStory, {{"stop", 5}}), "stop", "a text"},
        Wrong{kText, with(kStory, {{"stop", std::vector<std::string>(17, "x")}}), "stop", "16"},
        Wrong{kText, with(kStory, {{"seed", "x"}}), "seed", "whole number"},
        Wrong{kText, with(kStory, {{"model", 3}}), "model", "a text"},
        Wrong{kText, with(kStory, {{"logit_bias", {{"5", 1}}}}), "logit_bias", "not offered"},
        Wrong{kText, {{"max_tokens", 1}}, "prompt", "missing"},
        Wrong{kText, {{"prompt", Json::array()}}, "prompt", "empty"},
        Wrong{kText, {{"prompt", {-1}}}, "prompt", "-1"},
        Wrong{kText, {{"prompt", {1 << 30}}}, "prompt", "1073741824"},
        Wrong{kText, {{"prompt", {1, "x"}}}, "prompt", "\"x\""},
        Wrong{kText, with(kStory, {{"stream_options", {{"include_usage", true}}}}),
              "stream_options", "stream: true"},
        Wrong{kChat, {{"max_tokens", 1}}, "messages", "missing"},
        Wrong{kChat, {{"messages", Json::array()}}, "messages", "1 to"},
        Wrong{kChat, {{"messages", "hi"}}, "messages", "a list"},
        Wrong{kChat, {{"messages", {5}}}, "messages[0]", "object"},
        Wrong{kChat,
              {{"messages", {{{"role", "king"}, {"content", "hi"}}}}},
              "messages[0].role",
              "assistant"},
        Wrong{kChat, {{"messages", {{{"role", "user"}}}}}, "messages[0].content", "missing"},
        Wrong{kChat,
              {{"messages", {{{"role", "user"}, {"content", 5}}}}},
              "messages[0].content",
              "text"},
        Wrong{kChat,
              {{"messages",
                {{{"role", "user"}, {"content", {{{"type", "image_url"}, {"image_url", "x"}}}}}}}},
              "messages[0].content",
              "not text"},
        Wrong{kChat, {{"messages", kMessages}, {"top_logprobs", 2}}, "top_logprobs", "logprobs"},
        Wrong{"/tokenize", Json::object(), "content", "missing"},
        Wrong{"/detokenize", {{"tokens", {999999999}}}, "tokens", "999999999"}));

TEST_F(OpenAiTest, APromptBeyondTheContextIsRefusedWithBothCounts) {
  const Reply reply = server_->post("/v1/completions", {{"prompt", std::vector<int>(1025, 10)}});
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find("1025 tokens, the context holds 1024"), std::string::npos);
}

// What a user types never becomes a control token.
TEST_F(OpenAiTest, ControlTokensInAMessageAreText) {
  const auto tokens_of = [&](const char* content) {
    return server_
        ->post(kChat, {{"messages", {{{"role", "user"}, {"content", content}}}}, {"max_tokens", 1}})
        .json()["usage"]["prompt_tokens"]
        .get<int>();
  };
  EXPECT_GT(tokens_of("<eos>"), tokens_of("a"));
}

}  // namespace
}  // namespace nibble::test
