// Each construct of the template language against the reference implementation's recorded output.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/text/jinja_render.h"

namespace nibble::jinja {
namespace {

const std::vector<ChatMessage> kMessages = {
    {"system", "S"}, {"user", "U1"}, {"assistant", "A"}, {"user", "U2"}};

TEST(Jinja, AsTheReference) {
  std::ifstream file(NIBBLE_SOURCE_DIR "/tests/golden/jinja.json");
  const nlohmann::json cases = nlohmann::json::parse(file);
  ASSERT_GT(cases.size(), 140u);
  for (const auto& entry : cases) {
    const std::string source = entry["template"];
    const Result<std::string> text = render_test(source, kMessages, true);
    if (entry.contains("error")) {
      EXPECT_FALSE(text.ok()) << source << "\ngave: " << *text;
    } else {
      ASSERT_TRUE(text.ok()) << source << "\n" << text.error().message;
      EXPECT_EQ(*text, entry["text"].get<std::string>()) << source;
    }
  }
}

std::string error_of(std::string_view source) {
  const Result<std::string> text = render_test(source, kMessages, true);
  return text.ok() ? "no error: " + *text : text.error().message;
}

TEST(Jinja, ErrorsSayWhatAndWhere) {
  EXPECT_EQ(error_of("a\n{{ raise_exception('no such role') }}"), "chat template: no such role");
  EXPECT_EQ(error_of("a\n\n{{ nothing.x }}"),
            "chat template, line 3: 'nothing' is undefined, so it has no 'x'");
  EXPECT_EQ(
      error_of("\n{{ 1 + 'a' }}"),
      "chat template, line 2: cannot compute a value of type integer + a value of type string");
  EXPECT_EQ(error_of("{{ a + 'a' }}"),
            "chat template, line 1: cannot compute 'a' (undefined) + a value of type string");
  EXPECT_EQ(error_of("{{ 'a' | whatever }}"), "chat template, line 1: no filter named 'whatever'");
  EXPECT_EQ(error_of("{{ 'a' is whatever }}"), "chat template, line 1: no test named 'whatever'");
  EXPECT_EQ(error_of("\n{% if x %}"),
            "chat template: line 2: expected '{% endif %}', found the end of the template");
  EXPECT_EQ(error_of("{% include 'x' %}"),
            "chat template: line 1: expected a statement (if, for, set, macro, call, filter, "
            "generation, break, continue), found 'include'");
  EXPECT_EQ(error_of("{{ f() }}"), "chat template, line 1: 'f' is undefined and cannot be called");
  EXPECT_EQ(error_of("{{ strftime_now('%Q') }}"),
            "chat template, line 1: strftime_now does not know %Q");
  EXPECT_EQ(error_of("{{ 9223372036854775807 + 1 }}"),
            "chat template, line 1: an integer does not fit 64 bits");
}

TEST(Jinja, ErrorCodes) {
  EXPECT_EQ(render_test("{{", {}, true).error().code, ErrorCode::kData);
  EXPECT_EQ(render_test("{{ x.y }}", {}, true).error().code, ErrorCode::kUsage);
}

// What is unknown hurts only where it is used: templates have branches for tools.
TEST(Jinja, UnknownNamesInBranchesNotTaken) {
  EXPECT_EQ(*render_test("{% if tools %}{{ tools | from_yaml is exotic }}{% endif %}ok", {}, true),
            "ok");
}

// Bytes that are not UTF-8 go through as they are (the tokenizer marks text with them).
TEST(Jinja, AnyBytesPass) {
  const std::string bytes = std::string(" \xff<\xc3 a\0b\xff ", 10);
  const auto text = [&](std::string_view source) {
    return *render_test(source, {{"user", bytes}}, true);
  };
  EXPECT_EQ(text("{{ messages[0].content }}"), bytes);
  EXPECT_EQ(text("{{ messages[0].content | trim }}"), bytes.substr(1, 8));
  EXPECT_EQ(text("{{ messages[0].content[::-1] }}"), std::string(bytes.rbegin(), bytes.rend()));
  EXPECT_EQ(text("{{ messages[0].content | length }}"), "10");
}

TEST(Jinja, SearchesOverlapRightly) {
  EXPECT_EQ(
      *render_test("{{ 'aaa'.rfind('aa') }} {{ 'aaaa'.rsplit('aa', 1) }} {{ 'aXbX'.rsplit('X') }}",
                   {}, true),
      "1 ['aa', ''] ['a', 'b', '']");
}

TEST(Jinja, ReverseOfNothingIsNothing) {
  EXPECT_EQ(
      *render_test("{{ ''[::-1] }}|{{ [][::-1] }}|{{ ''[2:1] }}|{{ 'abc'[5:1:-1] }}", {}, true),
      "|[]||c");
}

}  // namespace
}  // namespace nibble::jinja
