// Answers held to JSON, to a schema or to a grammar, whatever the model would rather say; and
// schemas that are refused.
#include <optional>

#include "tests/serve/client.h"

namespace nibble::test {
namespace {

class StructuredTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new Server({"-c", "1024"}); }
  static void TearDownTestSuite() { delete std::exchange(server_, nullptr); }
  void SetUp() override { ASSERT_NE(server_->port(), 0) << server_->said(); }

  static Reply ask(const Json& format, int seed, int max_tokens = 400) {
    return server_->post("/v1/chat/completions",
                         {{"messages", {{{"role", "user"}, {"content", "Once upon a time"}}}},
                          {"response_format", format},
                          {"max_tokens", max_tokens},
                          {"seed", seed}});
  }
  static Json schema_format(const Json& schema) {
    return {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", schema}}}};
  }
  // The answer's JSON, or nothing if it was cut.
  static std::optional<Json> answer(const Json& schema, int seed) {
    const Reply reply = ask(schema_format(schema), seed);
    EXPECT_EQ(reply.status, 200) << reply.body;
    const Json choice = reply.json()["choices"][0];
    if (choice["finish_reason"] != "stop") return std::nullopt;
    const auto text = choice["message"]["content"].get<std::string>();
    const Json parsed = Json::parse(text, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << text;
    return parsed;
  }

  static Server* server_;
};
Server* StructuredTest::server_ = nullptr;

TEST_F(StructuredTest, ASchemaIsKept) {
  const Json schema = {{"type", "object"},
                       {"properties",
                        {{"name", {{"type", "string"}, {"maxLength", 20}}},
                         {"age", {{"type", "integer"}, {"minimum", 3}, {"maximum", 17}}},
                         {"animal", {{"enum", {"cat", "dog", nullptr, 5}}}},
                         {"good", {{"type", "boolean"}}},
                         {"friends",
                          {{"type", "array"},
                           {"items", {{"type", "string"}, {"maxLength", 8}}},
                           {"maxItems", 3},
                           {"minItems", 1}}}}},
                       {"required", {"age", "animal", "good", "friends"}}};
  int whole = 0;
  for (int seed = 0; seed < 6; ++seed) {
    const auto json = answer(schema, seed);
    if (!json) continue;
    ++whole;
    ASSERT_TRUE(json->is_object());
    EXPECT_GE((*json)["age"].get<int>(), 3);
    EXPECT_LE((*json)["age"].get<int>(), 17);
    EXPECT_TRUE((*json)["good"].is_boolean());
    const Json animals = {"cat", "dog", nullptr, 5};
    EXPECT_NE(std::find(animals.begin(), animals.end(), (*json)["animal"]), animals.end());
    EXPECT_GE((*json)["friends"].size(), 1u);
    EXPECT_LE((*json)["friends"].size(), 3u);
    for (const auto& [key, value] : json->items()) {
      EXPECT_TRUE(schema["properties"].contains(key)) << key;
    }
  }
  EXPECT_GE(whole, 4);
}

TEST_F(StructuredTest, ReferencesRecursionAndChoicesAreKept) {
  const Json schema = Json::parse(R"({
    "$defs": {"tree": {"type": "object",
                       "properties": {"leaf": {"type": "integer", "minimum": -20, "maximum": 5},
                                      "left": {"anyOf": [{"$ref": "#/$defs/tree"},
                                                         {"type": "null"}]}},
                       "required": ["leaf", "left"], "additionalProperties": false}},
    "$ref": "#/$defs/tree"})");
  int whole = 0;
  for (int seed = 0; seed < 6; ++seed) {
    const auto json = answer(schema, seed);
    if (!json) continue;
    ++whole;
    for (const Json* tree = &*json; !tree->is_null(); tree = &tree->at("left")) {
      EXPECT_GE(tree->at("leaf").get<int>(), -20);
      EXPECT_LE(tree->at("leaf").get<int>(), 5);
    }
  }
  EXPECT_GE(whole, 1);
}

TEST_F(StructuredTest, ConstantsAreAllThatIsSaid) {
  const Json value = {{"a", {1, "x\"y"}}};
  EXPECT_EQ(answer({{"const", value}}, 1).value_or(Json()), value);
  EXPECT_EQ(answer({{"type", "integer"}, {"minimum", 1234}, {"maximum", 1234}}, 1).value_or(Json()),
            1234);
}

TEST_F(StructuredTest, AnyObjectOrAGrammar) {
  const Reply object = ask({{"type", "json_object"}}, 1, 40);
  EXPECT_EQ(object.json()["choices"][0]["message"]["content"].get<std::string>()[0], '{');
  const Reply grammar =
      server_->post("/v1/completions", {{"prompt", "The cat is"},
                                        {"grammar", "root ::= \" \" (\"big\" | \"small\") \"!\""},
                                        {"temperature", 0}});
  const auto text = grammar.json()["choices"][0]["text"].get<std::string>();
  EXPECT_TRUE(text == " big!" || text == " small!") << text;
  EXPECT_EQ(grammar.json()["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(ask({{"type", "text"}}, 1, 5).status, 200);
}

// A grammar that is too ambiguous to be followed allows nothing any more: an error that says so, in
// a stream too, and the place is free for the next.
TEST_F(StructuredTest, AnExhaustedGrammarEndsTheAnswerWithAnError) {
  const std::string said = "no token of this model goes on in the grammar; allow more in it";
  Json body = {{"prompt", "The cat is"},
               {"grammar", "root ::= [a-z ] root root | [a-z ] root | [a-z ]"},
               {"max_tokens", 400},
               {"temperature", 0}};
  const Reply whole = server_->post("/v1/completions", body);
  EXPECT_EQ(whole.status, 400);
  const Json error = {
      {"message", said}, {"type", "invalid_request_error"}, {"param", nullptr}, {"code", nullptr}};
  EXPECT_EQ(whole.json()["error"], error);
  body["stream"] = true;
  const Reply stream = server_->post("/v1/completions", body);
  EXPECT_EQ(stream.status, 200);  // words had gone out
  EXPECT_NE(stream.body.find("data: {\"error\":{\"message\":\"" + said), std::string::npos)
      << stream.body;
  EXPECT_EQ(stream.body.find("[DONE]"), std::string::npos);
  body["grammar"] = "root ::= [a-z ]+";
  EXPECT_EQ(server_->post("/v1/completions", body).status, 200);
}

// Nobody's answer depends on the company of one that is held to something.
TEST_F(StructuredTest, OthersAreNotTouched) {
  const Json plain = {{"prompt", "Once upon a time"}, {"max_tokens", 60}, {"seed", 3}};
  const Json before = server_->post("/v1/completions", plain).json();
  Client other(server_->port());
  Json body = plain;
  body["grammar"] = "root ::= [a-z ]+";
  other.send(post("/v1/completions", body.dump()));
  EXPECT_EQ(server_->post("/v1/completions", plain).json()["choices"], before["choices"]);
  EXPECT_EQ(other.reply().status, 200);
}

struct Refused {
  const char* schema;
  const char* said;
  friend std::ostream& operator<<(std::ostream& out, const Refused& r) { return out << r.said; }
};

class RefusedSchemaTest : public StructuredTest, public testing::WithParamInterface<Refused> {};

TEST_P(RefusedSchemaTest, IsNamed) {
  const Reply reply = ask(schema_format(Json::parse(GetParam().schema)), 1);
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find(GetParam().said), std::string::npos) << reply.body;
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusedSchemaTest,
    testing::Values(Refused{R"({"type": "string", "pattern": "^(a+)+$"})", "pattern"},
                    Refused{R"({"type": "number", "minimum": 1})", "minimum"},
                    Refused{R"({"type": "number", "multipleOf": 2})", "multipleOf"},
                    Refused{R"({"not": {"type": "string"}})", "not is not offered"},
                    Refused{R"({"type": "king"})", "king"},
                    Refused{R"({"type": 5})", "type must be"},
                    Refused{R"({"$ref": "#/nothing"})", "#/nothing"},
                    Refused{R"({"$ref": "https://evil.example/x"})", "within the schema"},
                    Refused{R"({"$ref": "#"})", "comes back to itself"},
                    Refused{R"({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
                    "$ref": "#/$defs/a"})",
                            "comes back to itself"},
                    Refused{R"({"enum": []})", "enum"}, Refused{R"({"anyOf": []})", "anyOf"},
                    Refused{R"({"type": "string", "minLength": 5, "maxLength": 2})", "ends before"},
                    Refused{R"({"type": "string", "maxLength": 1000000000})", "maxLength"},
                    Refused{R"({"type": "array", "maxItems": -1})", "maxItems"},
                    Refused{R"({"type": "array", "uniqueItems": true})", "uniqueItems"},
                    Refused{R"({"type": "integer", "minimum": 5, "maximum": 4})", "above"},
                    Refused{R"({"type": "object", "properties": {"a": {}}, "required": ["b"]})",
                            "'b'"},
                    Refused{R"({"type": "object", "properties": 7})", "properties"},
                    Refused{R"({"type": "array", "uniqueItems": "x"})", "uniqueItems"}));

TEST_F(StructuredTest, HostileFormatsAreRefusedSoon) {
  Json wide = {{"type", "object"}};
  for (int i = 0; i < 6000; ++i) wide["properties"]["p" + std::to_string(i)] = {{"type", "null"}};
  const Reply reply = ask(schema_format(wide), 1);
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find("too large"), std::string::npos);
  for (const Json& format : {Json{{"type", "xml"}}, Json{{"type", "json_schema"}}, Json(5)}) {
    EXPECT_EQ(ask(format, 1).status, 400) << format;
  }
}

}  // namespace
}  // namespace nibble::test
