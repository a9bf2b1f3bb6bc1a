// Grammars: GBNF, JSON Schemas and requests in JSON.
#include <algorithm>

#include "runtime/grammar/constraint.h"
#include "runtime/grammar/grammar.h"
#include "runtime/grammar/matcher.h"
#include "tests/fuzz/all.h"
#include "tests/text/synthetic.h"
#include "tools/nibble/serve/fields.h"
#include "tools/nibble/serve/json_schema.h"

namespace nibble::fuzz {
namespace {

const Tokenizer& tokenizer() {
  static const auto loaded =
      testing::load_spm(testing::spm_tokens({"a", "b", "ab", "{\"", "\": ", "true", "10"}));
  return **loaded;
}

// Follows what the grammar allows, as `bytes` choose, and holds every answer of the automaton and
// of the vocabulary's filter to each other.
void follow(const std::shared_ptr<const Grammar>& grammar, std::string_view bytes) {
  Matcher matcher(grammar);
  static const TokenOrder order(tokenizer());
  Constraint constraint(grammar, tokenizer(), order);
  Matcher::State state = matcher.start(), next;
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 24) && !state.dead(); ++i) {
    const auto wanted = static_cast<uint8_t>(bytes[i]);
    int byte = -1;
    for (int step = 0; step < 256 && byte < 0; ++step) {
      const auto tried = static_cast<uint8_t>(wanted + step);
      matcher.advance(state, tried, &next);
      if (!matcher.exhausted()) {
        require(matcher.allows(state, tried) == !next.dead(), "allows() is what advance() does");
      }
      if (!next.dead()) byte = tried;
    }
    if (byte < 0 || matcher.exhausted()) return;
    const int32_t id = tokenizer().find(std::string(1, static_cast<char>(byte)));
    const int32_t token = id >= 0 ? id : testing::kSpmByte + byte;
    if (i < 4) {
      std::vector<int32_t> allowed;
      constraint.all_allowed(&allowed);
      for (const int32_t other : allowed) {
        const bool is_allowed = constraint.allows(other);
        if (constraint.exhausted()) return;  // perhaps by another token than this
        require(is_allowed, "what is listed is allowed");
      }
      if (constraint.exhausted()) return;
      require(std::find(allowed.begin(), allowed.end(), token) != allowed.end(),
              "what the grammar allows is listed");
    }
    constraint.accept(token);
    std::swap(state, next);
  }
}

}  // namespace

// The grammar ends at the first byte 0; what follows chooses the text.
void run_gbnf(std::string_view input) {
  const size_t end = std::min(input.find('\0'), input.size());
  const auto grammar = Grammar::parse(input.substr(0, end));
  if (!grammar) return require_readable(grammar.error());
  follow(*grammar, input.substr(end));
}

std::vector<std::string> gbnf_seeds() {
  using namespace std::string_literals;
  return {
      "root ::= \"yes\" | \"no\" | number\nnumber ::= [1-9] [0-9]{0,3} | \"0\"\0n1"s,
      "# a comment\nroot ::= object\nvalue ::= object | array | string | (\"true\" | \"null\") ws\n"
      "object ::= \"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)*)? \"}\" ws\n"
      "array ::= \"[\" ws (value (\",\" ws value)*)? \"]\" ws\n"
      "string ::= \"\\\"\" ([^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" "
      "[0-9a-fA-F]{4}))* \"\\\"\" ws\nws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n\0{\"a\": tr"s,
      "root ::= (\"a\"{2,5} [\xC3\xA9-\xE4\xBD\xA0]+ .? \"\\u00e9\\x41\")* \"\xF0\x9F\x98\x80\"\0aa"s,
      "root ::= a b\na ::= \"x\" root | \"\"\nb ::= [^a]\0xx"s,
  };
}

// {"schema": ...} is compiled as a schema, another object read as a request.
void run_schema(std::string_view input) {
  try {
    const cli::Json body = cli::parse_body(input);
    const cli::Fields fields(body);
    static_cast<void>(cli::dump(body));
    const std::string gbnf = cli::schema_grammar(body, "schema");
    const auto grammar = cli::compile_grammar(gbnf, "schema");
    follow(grammar, "{\"a\": [1, true, null], \"b");
  } catch (const cli::ApiError& error) {
    require(error.status >= 400 && error.status < 500 && !error.message.empty(),
            "a wrong request is the client's error");
  }
  try {
    const cli::Json body = cli::parse_body(input);
    const cli::Fields fields(body);
    static_cast<void>(cli::read_response_format(fields));
    static_cast<void>(cli::read_messages(fields, "messages"));
    static_cast<void>(fields.whole("n", 1, 8));
    static_cast<void>(fields.real("temperature", 0, 2));
    static_cast<void>(fields.texts("stop", 4));
    static_cast<void>(fields.flag("stream"));
  } catch (const cli::ApiError& error) {
    require(error.status >= 400 && error.status < 500 && !error.message.empty(),
            "a wrong request is the client's error");
  }
}

std::vector<std::string> schema_seeds() {
  return {
      R"({"type": "object", "properties": {"a": {"type": "integer", "minimum": -5, "maximum": 120},
          "b": {"enum": ["x", 1, null]}, "c": {"const": {"d": [1.5]}}}, "required": ["a"],
          "additionalProperties": false})",
      R"({"$defs": {"n": {"type": "object", "properties": {"v": {"type": "string", "minLength": 1,
          "maxLength": 8}, "next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}}},
          "$ref": "#/$defs/n"})",
      R"({"type": "array", "items": {"type": ["number", "boolean"]}, "minItems": 1, "maxItems": 3,
          "prefixItems": [{"type": "string"}], "title": "t"})",
      R"({"oneOf": [{"type": "string"}, {"allOf": [{"type": "integer"}]}], "description": "x"})",
      R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "n": 2,
          "temperature": 0.5, "stop": ["a"], "stream": true, "response_format":
          {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}})",
      R"({"messages": [], "grammar": "root ::= \"a\"", "response_format": {"type": "json_object"}})",
  };
}

}  // namespace nibble::fuzz
