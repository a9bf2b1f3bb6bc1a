// Grammars: what they allow, byte by byte, what is refused, and how long that takes.
#include "runtime/grammar/grammar.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "runtime/grammar/matcher.h"

namespace nibble {
namespace {

// Whether `text` is all of what the grammar says.
bool matches(const std::string& gbnf, const std::string& text) {
  auto grammar = parse_grammar(gbnf);
  EXPECT_TRUE(grammar) << grammar.error().message;
  if (!grammar) return false;
  Matcher matcher(*grammar);
  Matcher::State state = matcher.start();
  Matcher::State next;
  for (const char byte : text) {
    const bool allowed = matcher.allows(state, static_cast<uint8_t>(byte));
    matcher.advance(state, static_cast<uint8_t>(byte), &next);
    EXPECT_EQ(allowed, !next.dead());
    std::swap(state, next);
  }
  return state.end;
}

struct Case {
  const char* gbnf;
  std::vector<std::string> yes;
  std::vector<std::string> no;
};

class GrammarTest : public testing::TestWithParam<Case> {};

TEST_P(GrammarTest, AllowsWhatItSaysAndNothingElse) {
  for (const std::string& text : GetParam().yes)
    EXPECT_TRUE(matches(GetParam().gbnf, text)) << text;
  for (const std::string& text : GetParam().no)
    EXPECT_FALSE(matches(GetParam().gbnf, text)) << text;
}

INSTANTIATE_TEST_SUITE_P(
    All, GrammarTest,
    testing::Values(
        Case{"root ::= \"yes\" | \"no\"", {"yes", "no"}, {"", "y", "yesno", "maybe"}},
        Case{"root ::= [a-c]+ \"!\"?", {"a", "abc!", "cc"}, {"", "!", "d", "a!!"}},
        Case{"root ::= \"a\"{2,4} \"b\"{2} \"c\"{1,}",
             {"aabbc", "aaaabbccc"},
             {"abbc", "aaaaabbc", "aabc", "aabb"}},
        Case{"root ::= (\"x\" (\"y\" | \"z\")*)?", {"", "x", "xyzzy"}, {"y", "xx"}},
        Case{"# a comment\nroot ::= item  # another\n  | \"[\" item \"]\"\n\nitem ::= [0-9]\n",
             {"1", "[2]"},
             {"[", "[12]"}},
        Case{"root ::= \"(\" root \")\" | \"x\"", {"x", "((x))"}, {"(x", "x)", ""}},
        Case{"root ::= ([^\"\\\\])*",
             {"", "abc", "\n", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
             {"\"", "\\", "\xc3", "\xff", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80"}},
        Case{"root ::= [\xc3\xa0-\xc3\xbf]",
             {"\xc3\xa0", "\xc3\xa9", "\xc3\xbf"},
             {"a", "\xc3\x9f", "\xc4\x80"}},
        Case{"root ::= [\\u0400-\\u04FF]{2}", {"\xd0\x80\xd3\xbf"}, {"\xcf\xbf\xd0\x80"}},
        Case{"root ::= [\\U00000100-\\U0001F600]",
             {"\xc4\x80", "\xe2\x82\xac", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x9f\x98\x80"},
             {"\xc3\xbf", "\xed\xa0\x80", "\xf0\x9f\x98\x81"}},
        Case{"root ::= \"\\x41\\n\\t\\\"\\\\\"", {"A\n\t\"\\"}, {"A"}},
        Case{"root ::= .", {"a", "\xe2\x82\xac"}, {"", "ab"}},
        Case{"root ::= [-a] [a-]", {"--", "aa"}, {"b"}},
        Case{
            "root ::= a b\na ::= \"\" | \"a\"\nb ::= \"b\" | \"\"", {"", "a", "b", "ab"}, {"ba"}}));

struct Refused {
  std::string gbnf;
  const char* said;
};

class RefusedGrammarTest : public testing::TestWithParam<Refused> {};

TEST_P(RefusedGrammarTest, SaysWhyAndSoon) {
  const auto start = std::chrono::steady_clock::now();
  const auto grammar = parse_grammar(GetParam().gbnf);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  ASSERT_FALSE(grammar);
  EXPECT_EQ(grammar.error().code, ErrorCode::kUsage);
  EXPECT_NE(grammar.error().message.find(GetParam().said), std::string::npos)
      << grammar.error().message;
  EXPECT_LT(took.count(), 2.0);  // a tenth of it where nothing else runs
}

std::string repeated(const std::string& text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

// root ::= a a; a ::= b b; ...: short, and long beyond measure if it were written out.
std::string doubling() {
  std::string out = "root ::= r0\n";
  for (int i = 0; i < 3000; ++i) {
    const std::string next = " r" + std::to_string(i + 1);
    out += "r" + std::to_string(i) + " ::=" + next + next + "\n";
  }
  return out + "r3000 ::= r0\n";
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusedGrammarTest,
    testing::Values(
        Refused{"", "no rule root"}, Refused{"a ::= \"x\"", "no rule root"},
        Refused{"root ::= b", "no rule b"}, Refused{"root = \"x\"", "line 1: ::="},
        Refused{"root ::= \"x\"\nroot ::= \"y\"", "line 2"}, Refused{"root ::= \"x", "not closed"},
        Refused{"root ::= [a", "not closed"}, Refused{"root ::= (\"a\"", "not closed"},
        Refused{"root ::= [z-a]", "ends before"}, Refused{"root ::= \"\\q\"", "escape"},
        Refused{"root ::= \"\\xZZ\"", "hexadecimal"},
        Refused{"root ::= \"\\uD800\"", "no character"},
        Refused{"root ::= \"\\UFFFFFFFF\"", "no character"},
        Refused{"root ::= \"a\"{3,2}", "end before"}, Refused{"root ::= \"a\"{", "missing"},
        Refused{"root ::= \"a\"{99999999999}", "5000"}, Refused{"root ::= *", "not expected"},
        Refused{"root ::= \"\xff\"", "UTF-8"}, Refused{"root ::= \"a\" )", "not end here"},
        // What never needs a character to come back to itself.
        Refused{"root ::= root \"x\" | \"y\"", "comes back to itself"},
        Refused{"root ::= a\na ::= b\nb ::= \"\" a", "comes back to itself"},
        Refused{"root ::= e root\ne ::= \"\" | \"x\"", "comes back to itself"},
        Refused{"root ::= (\"a\"*)*", "comes back to itself"},
        Refused{"root ::= (\"\")+", "comes back to itself"}, Refused{doubling(), "comes back"},
        // Too much of everything.
        Refused{"root ::= " + repeated("(", 1000) + "\"a\"" + repeated(")", 1000), "too deeply"},
        Refused{"root ::= " + repeated("(", 300'000), "too deeply"},
        Refused{"root ::= " + repeated("\"a\"{5000} ", 50), "too large"},
        Refused{"root ::= \"" + repeated("a", 250'000) + "\"", "too large"},
        Refused{"root ::= " + repeated("\"a\" | ", 90'000) + "\"b\"", "bytes"},
        Refused{repeated("x", 600'000), "bytes"}));

// Ambiguity without end costs a limited time and then allows nothing.
TEST(GrammarTest, HostileGrammarsAreExhausted) {
  for (const char* gbnf :
       {"root ::= \"a\" root root | \"a\" root | \"a\"", "root ::= (\"a\" | \"a\"? \"a\")+ root?",
        "root ::= (\"a\"{1,50}){1,50}"}) {
    const auto start = std::chrono::steady_clock::now();
    auto grammar = parse_grammar(gbnf);
    ASSERT_TRUE(grammar) << grammar.error().message;
    Matcher matcher(*grammar);
    Matcher::State state = matcher.start();
    Matcher::State next;
    for (int i = 0; i < 2000 && !state.dead(); ++i) {
      matcher.advance(state, 'a', &next);
      std::swap(state, next);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), 10.0) << gbnf;
  }
}

}  // namespace
}  // namespace nibble
