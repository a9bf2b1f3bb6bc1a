// Tools: the grammar of calls, calls found in an answer, and both by the program itself, in every
// form and API. The story model knows nothing of tools; held to a grammar, it calls them all the
// same.
#include <set>

#include "runtime/grammar/matcher.h"
#include "tests/model/edited_model.h"
#include "tests/serve/client.h"
#include "tools/nibble/serve/tools.h"

namespace nibble::test {
namespace {

using cli::CallForm;
using cli::CallReader;

const CallForm kTagged = {"<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>",
                          true};
const CallForm kBare = {"{\"name\": \"", "\", \"parameters\": ", "}", false};

bool accepts(const std::shared_ptr<const Grammar>& grammar, const std::string& text) {
  Matcher matcher(grammar);
  Matcher::State state = matcher.start();
  Matcher::State next;
  for (const char byte : text) {
    matcher.advance(state, static_cast<uint8_t>(byte), &next);
    std::swap(state, next);
    if (state.dead()) return false;
  }
  return state.end;
}

cli::ToolUse two_tools() {
  const cli::Json tools = cli::Json::parse(R"([
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object",
      "properties": {"city": {"$ref": "#/$defs/city"}}, "required": ["city"],
      "$defs": {"city": {"type": "string", "maxLength": 8, "pattern": "^[A-Z]"}}}}},
    {"type": "function", "function": {"name": "time"}}])");
  return cli::read_tools(cli::Fields(cli::Json{{"tools", tools}}));
}

TEST(CallGrammar, TextOrWholeCalls) {
  const std::string one =
      "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}"
      "\n</tool_call>";
  const auto tagged = cli::call_grammar(two_tools(), kTagged);
  EXPECT_TRUE(accepts(tagged, "Hello, it is <tool> and <<tool_cal> {\"name\": 1} \xC3\xA4.\n"));
  EXPECT_TRUE(accepts(tagged, one));
  EXPECT_TRUE(accepts(tagged, "I will look. <" + one + "\n" + one));
  EXPECT_FALSE(accepts(tagged, "I will look. <tool_call> no"));
  EXPECT_FALSE(accepts(tagged, "<tool_call>\n{\"name\": \"money\", \"arguments\": {}}"));
  EXPECT_FALSE(accepts(tagged, one.substr(0, one.size() - 1)));

  const auto bare = cli::call_grammar(two_tools(), kBare);
  EXPECT_TRUE(accepts(bare, "{\"name\": \"time\", \"parameters\": {\"zone\": \"UTC\"}}"));
  EXPECT_TRUE(accepts(bare, "{\"names\": 5} is no call, nor is {\"name\": \"x\"}"));
  EXPECT_FALSE(accepts(bare, "{\"name\": \"time\", \"parameters\": {}} and more"));
  EXPECT_FALSE(accepts(bare, "{\"name\": \"x\"}"));
}

TEST(CallGrammar, RequiredNamedAndSingle) {
  cli::ToolUse use = two_tools();
  use.required = true;
  const std::string time = "{\"name\": \"time\", \"parameters\": {}}";
  EXPECT_TRUE(accepts(cli::call_grammar(use, kBare), time));
  EXPECT_FALSE(accepts(cli::call_grammar(use, kBare), "Hello"));
  EXPECT_FALSE(accepts(cli::call_grammar(use, kBare), ""));
  use.only = "weather";
  EXPECT_FALSE(accepts(cli::call_grammar(use, kBare), time));
  use.only = "time";
  const std::string tagged = "<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>";
  EXPECT_TRUE(accepts(cli::call_grammar(use, kTagged), tagged + "\n" + tagged));
  use.parallel = false;
  EXPECT_FALSE(accepts(cli::call_grammar(use, kTagged), tagged + "\n" + tagged));
}

// What a reader makes of a text that comes in pieces of this size.
std::string read_by(const CallForm& form, const std::string& text, size_t piece_size) {
  CallReader reader(form);
  std::string out;
  const auto show = [&](const std::vector<CallReader::Piece>& pieces) {
    for (const CallReader::Piece& piece : pieces) {
      if (piece.kind == CallReader::Piece::kCall) out += "[" + piece.text + "]";
      if (piece.kind != CallReader::Piece::kCall) out += piece.text;
    }
  };
  for (size_t at = 0; at < text.size(); at += piece_size) {
    show(reader.push(text.substr(at, piece_size)));
  }
  show(reader.finish());
  return out;
}

TEST(CallReader, PiecesDoNotMatter) {
  const std::string arguments = R"({"a": "}\"]</tool_call>{", "b": [{}, {"c": 1}]})";
  const std::string call =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": " + arguments + "}\n</tool_call>";
  const std::string bare = "{\"name\": \"f\", \"parameters\": " + arguments + "}";
  for (size_t size : {1, 2, 3, 7, 1000}) {
    EXPECT_EQ(read_by(kTagged, "Let <me> <tool see.\n" + call + "\n" + call, size),
              "Let <me> <tool see.\n[f]" + arguments + "[f]" + arguments);
    EXPECT_EQ(read_by(kBare, bare, size), "[f]" + arguments);
    EXPECT_EQ(read_by(kBare, "No: " + bare, size), "No: " + bare);
    // Cut off: before it is known to be a call it is text, then what there is of it.
    EXPECT_EQ(read_by(kTagged, "Hm <tool_call>", size), "Hm <tool_call>");
    EXPECT_EQ(read_by(kBare, "{\"name\": \"f", size), "{\"name\": \"f");
    EXPECT_EQ(read_by(kBare, bare.substr(0, 40), size), "[f]" + arguments.substr(0, 12));
  }
}

const Json kTools = Json::parse(R"([
  {"type": "function", "function": {"name": "feed", "description": "Feeds an animal", "strict": true,
    "parameters": {"type": "object", "properties": {"animal": {"enum": ["cat", "dog"]},
      "times": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["animal", "times"],
      "additionalProperties": false}}},
  {"type": "function", "function": {"name": "sleep", "parameters": {"type": "object",
    "properties": {"where": {"type": "string", "maxLength": 8}}, "required": ["where"]}}}])");

Json ask(const Json& more, const char* content = "The cat is hungry") {
  Json body = {{"messages", {{{"role", "user"}, {"content", content}}}},
               {"tools", kTools},
               {"max_tokens", 200},
               {"seed", 3}};
  body.update(more);
  return body;
}

// A template that knows tools, in the tagged form (Qwen) or the bare one (Llama).
std::string template_with_tools(bool tagged) {
  std::string out =
      "{%- if tools %}Tools:{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}\n{% endif %}"
      "{%- for message in messages %}{{ message.role }}: {{ message.content }}";
  out += tagged ? "{%- if message.tool_calls %}{% for call in message.tool_calls %}<tool_call>\n"
                  "{\"name\": \"{{ call.function.name }}\", \"arguments\": "
                  "{{ call.function.arguments | tojson }}}\n</tool_call>{% endfor %}{% endif %}"
                : "{%- if message.tool_calls %}{% if message.tool_calls | length != 1 %}"
                  "{{ raise_exception('one call at a time') }}{% endif %}{\"name\": "
                  "\"{{ message.tool_calls[0].function.name }}\", \"parameters\": "
                  "{{ message.tool_calls[0].function.arguments | tojson }}}{% endif %}"
                  "{#- ipython #}";
  return out + "\n{% endfor %}assistant: ";
}

enum Form { kDescribedForm, kTaggedForm, kBareForm };

class ToolsTest : public testing::TestWithParam<Form> {
 protected:
  static void TearDownTestSuite() { servers_.clear(); }
  void SetUp() override {
    std::unique_ptr<Server>& server = servers_[GetParam()];
    if (server == nullptr) {
      std::string model = kModel;
      if (GetParam() != kDescribedForm) {
        EditedModel edited = read_model();
        edited.set("tokenizer.chat_template",
                   {GgufType::kString, template_with_tools(GetParam() == kTaggedForm)});
        model = folder_.path() + "/tools-" + std::to_string(GetParam()) + ".gguf";
        write_model(edited, model);
      }
      server =
          std::make_unique<Server>(std::vector<std::string>{"-c", "2048"}, Environment{}, model);
    }
    server_ = server.get();
    ASSERT_NE(server_->port(), 0) << server_->said();
  }

  // Checks a call of kTools and gives its name.
  static std::string check(const Json& call) {
    EXPECT_EQ(call["type"], "function");
    EXPECT_EQ(call["id"].get<std::string>().find("call_"), 0u);
    const std::string name = call["function"]["name"];
    const Json arguments = Json::parse(call["function"]["arguments"].get<std::string>());
    if (name == "feed") {
      EXPECT_TRUE(arguments["animal"] == "cat" || arguments["animal"] == "dog");
      EXPECT_GE(arguments["times"].get<int>(), 1);
      EXPECT_LE(arguments["times"].get<int>(), 9);
    } else {
      EXPECT_EQ(name, "sleep");
      EXPECT_TRUE(arguments["where"].is_string());
    }
    return name;
  }

  static Folder folder_;
  static std::map<Form, std::unique_ptr<Server>> servers_;
  Server* server_ = nullptr;
};
Folder ToolsTest::folder_;
std::map<Form, std::unique_ptr<Server>> ToolsTest::servers_;

TEST_P(ToolsTest, ARequiredCallIsValid) {
  std::set<std::string> names;
  for (int seed = 0; seed < 8; ++seed) {
    const Reply reply =
        server_->post("/v1/chat/completions", ask({{"tool_choice", "required"}, {"seed", seed}}));
    ASSERT_EQ(reply.status, 200) << reply.body;
    const Json choice = reply.json()["choices"][0];
    if (choice["finish_reason"] == "length") continue;  // one call after the other
    EXPECT_EQ(choice["finish_reason"], "tool_calls");
    EXPECT_TRUE(choice["message"]["content"].is_null()) << reply.body;
    for (const Json& call : choice["message"]["tool_calls"]) names.insert(check(call));
  }
  EXPECT_FALSE(names.empty());
}

TEST_P(ToolsTest, ANamedCallIsOfThatName) {
  const Json named = {{"type", "function"}, {"function", {{"name", "feed"}}}};
  const Json more = {{"tool_choice", named}, {"parallel_tool_calls", false}};
  const Json message =
      server_->post("/v1/chat/completions", ask(more)).json()["choices"][0]["message"];
  ASSERT_EQ(message["tool_calls"].size(), 1u) << message;
  EXPECT_EQ(check(message["tool_calls"][0]), "feed");

  // The same as a stream, whose pieces are put together.
  Json streamed = ask(more);
  streamed["stream"] = true;
  Json call;
  std::string arguments;
  std::string reason;
  size_t pieces = 0;
  for (const Json& event : events(server_->post("/v1/chat/completions", streamed).body)) {
    const Json& choice = event["choices"][0];
    if (!choice["finish_reason"].is_null()) reason = choice["finish_reason"];
    EXPECT_EQ(choice["delta"].value("content", ""), "");
    for (const Json& part : choice["delta"].value("tool_calls", Json::array())) {
      EXPECT_EQ(part["index"], 0);
      if (part.contains("id")) call = part;
      arguments += part["function"]["arguments"].get<std::string>();
      ++pieces;
    }
  }
  EXPECT_EQ(reason, "tool_calls");
  EXPECT_GT(pieces, 3u);
  EXPECT_EQ(arguments, message["tool_calls"][0]["function"]["arguments"]);
  EXPECT_EQ(call["function"]["name"], "feed");
}

TEST_P(ToolsTest, LeftFreeItMayTalk) {
  const Json choice =
      server_->post("/v1/chat/completions", ask({{"max_tokens", 12}})).json()["choices"][0];
  EXPECT_FALSE(choice["message"]["content"].get<std::string>().empty());
  EXPECT_FALSE(choice["message"].contains("tool_calls"));
  const Json none = ask({{"tool_choice", "none"}, {"max_tokens", 12}});
  Json without = none;
  without.erase("tools");
  without.erase("tool_choice");
  EXPECT_EQ(server_->post("/v1/chat/completions", none).json()["choices"],
            server_->post("/v1/chat/completions", without).json()["choices"]);
}

TEST_P(ToolsTest, ResultsGoBackToTheModel) {
  const Json call = {{"id", "call_1"},
                     {"type", "function"},
                     {"function", {{"name", "feed"}, {"arguments", R"({"animal": "cat"})"}}}};
  Json body = ask({{"max_tokens", 8}});
  const int before = server_->post("/v1/chat/completions", body).json()["usage"]["prompt_tokens"];
  body["messages"].push_back({{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {call}}});
  body["messages"].push_back(
      {{"role", "tool"}, {"tool_call_id", "call_1"}, {"content", "The cat ate two fish."}});
  const Reply reply = server_->post("/v1/chat/completions", body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_GT(reply.json()["usage"]["prompt_tokens"].get<int>(), before + 15);

  // Ollama's form: arguments are an object, and a call comes whole.
  Json ollama = {{"model", server_->get("/api/tags").json()["models"][0]["name"]},
                 {"messages", body["messages"]},
                 {"tools", kTools},
                 {"stream", false},
                 {"options", {{"num_predict", 8}}}};
  ollama["messages"][1]["tool_calls"][0]["function"]["arguments"] = {{"animal", "cat"}};
  EXPECT_EQ(server_->post("/api/chat", ollama).status, 200);
  ollama["options"] = {{"num_predict", 200}, {"seed", 5}};
  ollama["tool_choice"] = "required";
  const Json answer = server_->post("/api/chat", ollama).json();
  ASSERT_FALSE(answer["message"]["tool_calls"].empty()) << answer;
  EXPECT_TRUE(answer["message"]["tool_calls"][0]["function"]["arguments"].is_object());
  EXPECT_EQ(answer["message"]["content"], "");
}

// The same tools in the form of /v1/responses.
Json responses_ask(const Json& more) {
  Json tools = Json::array();
  for (const Json& tool : kTools) {
    Json flat = tool["function"];
    flat["type"] = "function";
    tools.push_back(flat);
  }
  Json body = {{"input", "Once upon a time"}, {"tools", tools}, {"seed", 5}};
  body.update(more);
  return body;
}

TEST_P(ToolsTest, ResponsesCallsAreItems) {
  const Json choice = {{"type", "function"}, {"name", "feed"}};
  Json body =
      responses_ask({{"tool_choice", choice}, {"parallel_tool_calls", false}, {"temperature", 0}});
  const Reply reply = server_->post("/v1/responses", body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json whole = reply.json();
  EXPECT_EQ(whole["tool_choice"], choice);
  EXPECT_EQ(whole["tools"][0]["name"], body["tools"][0]["name"]);
  ASSERT_EQ(whole["output"].size(), 1u) << whole;
  const Json item = whole["output"][0];
  EXPECT_EQ(item["type"], "function_call");
  EXPECT_EQ(item["status"], "completed");
  EXPECT_EQ(check({{"function", {{"name", item["name"]}, {"arguments", item["arguments"]}}},
                   {"type", "function"},
                   {"id", item["call_id"]}}),
            "feed");

  body["stream"] = true;
  std::string arguments;
  std::vector<std::string> kinds;
  Json last;
  const std::string stream = server_->post("/v1/responses", body).body;
  for (size_t at = stream.find("data: "); at != std::string::npos;
       at = stream.find("data: ", at + 1)) {
    last = Json::parse(stream.substr(at + 6, stream.find('\n', at) - at - 6));
    const std::string type = last["type"];
    if (kinds.empty() || kinds.back() != type) kinds.push_back(type);
    if (type == "response.function_call_arguments.delta") {
      arguments += last["delta"].get<std::string>();
    }
  }
  EXPECT_EQ(kinds,
            (std::vector<std::string>{
                "response.created", "response.in_progress", "response.output_item.added",
                "response.function_call_arguments.delta", "response.function_call_arguments.done",
                "response.output_item.done", "response.completed"}));
  EXPECT_EQ(arguments, item["arguments"]);
  EXPECT_EQ(last["response"]["output"][0]["arguments"], arguments);

  // The call and its result go back; the prompt is that of the chat's messages.
  const Json call = {{"type", "function_call"},
                     {"call_id", "call_1"},
                     {"name", "feed"},
                     {"arguments", R"({"animal": "cat"})"}};
  const Json result = {
      {"type", "function_call_output"}, {"call_id", "call_1"}, {"output", "The cat ate two fish."}};
  const Json question = {{"role", "user"}, {"content", "Once upon a time"}};
  const Json said = {{"type", "message"},
                     {"role", "assistant"},
                     {"content", {{{"type", "output_text"}, {"text", "I will."}}}}};
  const Json next =
      server_
          ->post("/v1/responses", responses_ask({{"max_output_tokens", 4},
                                                 {"input", {question, said, call, result}}}))
          .json();
  const Json chat_call = {{"function", {{"name", "feed"}, {"arguments", R"({"animal": "cat"})"}}}};
  const Json messages = {
      question,
      {{"role", "assistant"}, {"content", "I will."}, {"tool_calls", {chat_call}}},
      {{"role", "tool"}, {"content", "The cat ate two fish."}}};
  const Json chat =
      server_->post("/v1/chat/completions", ask({{"max_tokens", 4}, {"messages", messages}}))
          .json();
  EXPECT_EQ(next["usage"]["input_tokens"], chat["usage"]["prompt_tokens"]) << next;

  const auto refused = [&](const Json& more, const char* part) {
    const Reply no = server_->post("/v1/responses", responses_ask(more));
    EXPECT_EQ(no.status, 400) << no.body;
    EXPECT_NE(no.body.find(part), std::string::npos) << no.body;
  };
  refused({{"input", {question, result}}}, "of no function_call before it");
  refused({{"input", {question, {{"type", "reasoning"}}}}}, "'reasoning'");
  refused({{"input", {question, {{"type", "function_call"}, {"call_id", "1"}, {"name", "x"}}}}},
          "arguments is missing");
  refused({{"tools", {{{"type", "web_search"}}}}}, "tools[0].type must be function");
  refused({{"text", {{"format", {{"type", "json_object"}}}}}}, "exclude each other");
}

TEST_P(ToolsTest, WhatIsWrongIsNamed) {
  const auto refused = [&](const Json& more) {
    const Reply reply = server_->post("/v1/chat/completions", ask(more));
    EXPECT_EQ(reply.status, 400) << reply.body;
    return reply.body;
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(refused({{"tools", {5}}}), "tools[0] is not an object"));
  EXPECT_TRUE(has(refused({{"tools", {{{"type", "function"}}}}}), "tools[0].function is missing"));
  const Json bad_name = {{"type", "function"}, {"function", {{"name", "a b"}}}};
  EXPECT_TRUE(has(refused({{"tools", {bad_name}}}), "letters, digits"));
  const Json other = {{"type", "function"}, {"function", {{"name", "fly"}}}};
  EXPECT_TRUE(has(refused({{"tool_choice", other}}), "'fly'"));
  EXPECT_TRUE(has(refused({{"tool_choice", "maybe"}}), "required"));
  EXPECT_TRUE(has(refused({{"response_format", {{"type", "json_object"}}}}), "exclude each other"));
  Json strict = kTools[0];
  strict["function"]["parameters"]["properties"]["animal"] = {{"type", "string"}, {"pattern", "x"}};
  EXPECT_TRUE(has(refused({{"tools", {strict}}}), "pattern is not offered"));
  const Json call = {{"function", {{"name", "feed"}, {"arguments", "not JSON"}}}};
  EXPECT_TRUE(has(refused({{"messages", {{{"role", "assistant"}, {"tool_calls", {call}}}}}}),
                  "arguments are not a JSON object"));
}

INSTANTIATE_TEST_SUITE_P(Forms, ToolsTest, testing::Values(kDescribedForm, kTaggedForm, kBareForm));

}  // namespace
}  // namespace nibble::test
