// Hostile templates: each is an error within 100 ms of processor time, and the process lives.
#include <gtest/gtest.h>
#include <time.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/sampler.h"
#include "tests/text/jinja_render.h"

namespace nibble::jinja {
namespace {

#if defined(NIBBLE_SANITIZED)
constexpr double kLimitMs = 2000;  // every byte read is checked
#else
constexpr double kLimitMs = 100;
#endif

double processor_ms() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

std::string repeated(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

void expect_error(const std::string& source, const std::string& message) {
  const double start = processor_ms();
  const Result<std::string> text = render_test(source, {{"user", "hello"}}, true);
  const double took = processor_ms() - start;
  EXPECT_LT(took, kLimitMs) << source;
  ASSERT_FALSE(text.ok()) << source.substr(0, 80);
  EXPECT_NE(text.error().message.find(message), std::string::npos) << source.substr(0, 80) << "\n"
                                                                   << text.error().message;
}

TEST(JinjaHostile, Nesting) {
  const char* deep = "nesting deeper than 200 levels";
  const std::pair<const char*, const char*> brackets[] = {
      {"(", ")"},  {"[", "]"},    {"{1:", "}"},         {"-", ""},    {"not ", ""},
      {"f(", ")"}, {"a[0:", "]"}, {"a if b else ", ""}, {"x|d(", ")"}};
  for (const auto& [open, close] : brackets) {
    expect_error("{{ " + repeated(open, 60'000) + "1" + repeated(close, 60'000) + " }}", deep);
  }
  for (const char* chain : {".a", "[0]", "|trim", "()", " is defined", " + 1", " and 1", " ** 2"}) {
    expect_error("{{ x" + repeated(chain, 60'000) + " }}", deep);
  }
  for (const char* open : {"{% if 1 %}", "{% for x in y %}", "{% set x %}", "{% macro m() %}",
                           "{% filter trim %}", "{% call f() %}", "{% generation %}"}) {
    expect_error(repeated(open, 60'000), deep);
  }
  expect_error("{% if 1 %}" + repeated("{% elif 1 %}", 60'000), "expected '{% endif %}'");
}

TEST(JinjaHostile, Recursion) {
  const char* deep = "nests or recurses deeper";
  expect_error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", deep);
  expect_error(
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
      deep);
  expect_error("{% macro m(x=m()) %}{% endmacro %}{{ m() }}", deep);
  expect_error("{% macro m(x) %}{{ m(x) }}{{ m(x) }}{% endmacro %}{{ m(1) }}", deep);
  expect_error("{% macro m() %}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}", deep);
  expect_error("{% set n = namespace() %}{% set n.n = n %}{{ n }}", deep);
  expect_error(
      "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}"
      "{% endfor %}{{ n.x | tojson }}",
      deep);
  expect_error(
      "{% set n = namespace(x=[], y=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}"
      "{% set n.y = [n.y] %}{% endfor %}{{ n.x == n.y }}",
      deep);
}

TEST(JinjaHostile, Loops) {
  const char* steps = "more than 1000000 steps";
  expect_error("{% for i in range(1000000000) %}{% endfor %}", steps);
  expect_error("{{ range(1000000000) | length }}", steps);
  expect_error("{{ range(0, -9223372036854775807, -1) | list }}", steps);
  expect_error("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
               steps);
  expect_error("{{ 'a' * 1000000000 }}", steps);
  expect_error("{{ [1] * 1000000000 }}", steps);
  expect_error("{{ range(1e9) }}", "must be an integer");
  expect_error(
      "{% set n = namespace(x=[]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}"
      "{% endfor %}{{ n.x == n.x + [] }}{{ n.x }}",
      "more than");
}

// Text that doubles; then work on long text, in the ways that are quadratic when done simply.
TEST(JinjaHostile, Text) {
  const auto source = [](const std::string& count, const std::string& rest) {
    return "{% set n = namespace(s='ab') %}{% for i in range(" + count +
           ") %}{% set n.s = n.s + n.s %}{% endfor %}" + rest;
  };
  expect_error("{% for i in range(99) %}" + std::string(500'000, 'x') + "{% endfor %}",
               "a text of more than 8388608 bytes");
  expect_error(source("99", ""), "more than");
  expect_error(source("21", "{% for i in range(9) %}{{ n.s }}{% endfor %}"), "more than");
  expect_error(source("20", "{% for i in range(99) %}{% set n.t = n.s ~ i %}{% endfor %}"),
               "more than");
  for (const char* work : {"n.s in n.s",
                           "n.s[:-1] + 'c' in n.s",
                           "n.s.rfind('b' + n.s[:900000])",
                           "n.s.count('ab')",
                           "n.s.replace('a', 'aaaaaaaaaa')",
                           "n.s.split('b')",
                           "n.s.rsplit('b')",
                           "n.s | list",
                           "n.s | upper",
                           "n.s[::-1]",
                           "n.s | length",
                           "n.s.strip(n.s)",
                           "n.s | tojson",
                           "n.s | indent",
                           "n.s | e",
                           "n.s.title()",
                           "n.s.find('c' * 99999)",
                           "[n.s] | unique",
                           "[n.s, n.s] | sort",
                           "n.s.startswith((n.s, n.s))",
                           "n.s == n.s + ''"}) {
    expect_error(source("18", std::string("{% for i in range(9999) %}{% set n.t = ") + work +
                                  " %}{% endfor %}"),
                 "more than");
  }
  expect_error(source("10",
                      "{% set d = dict() %}{% for i in range(99999) %}"
                      "{% set d = dict(d, a=d) %}{% endfor %}"),
               "more than");
}

TEST(JinjaHostile, SourceThatIsLongOrUnfinished) {
  expect_error(std::string((1u << 20) + 1, 'a'), "more than 1048576");
  expect_error(repeated("{{ 'a' }}", 110'000) + "{{", "tag without its end");
  for (const char* cut :
       {"{{",         "{%",       "{#",         "{{-",         "{%-",           "{#-",
        "{{ '",       "{{ \"\\",  "{{ '\\",     "{{ (",        "{% raw %}x",    "{% raw",
        "{% if",      "{% for",   "{% for x",   "{% for x in", "{% set",        "{% set x",
        "{% set x =", "{% macro", "{% macro m", "{% macro m(", "{% macro m(a=", "{% call",
        "{% filter",  "{{ a.",    "{{ a[",      "{{ a|",       "{{ a is",       "{{ a if",
        "{{ 1.",      "{{ 1e",    "{{ -",       "{{ 'a'[1:",   "{{ {",          "{{ {'a'",
        "{{ [1",      "{{ f(a=",  "{{ 1 <"}) {
    expect_error(cut, "chat template: line 1: ");
  }
  expect_error("{{ 99999999999999999999 }}", "number out of range");
  expect_error("{{ 1e999 }}", "number out of range");
  expect_error("{{ '\\ud800' }}", "escape");
  expect_error("{{ '\\U00110000' }}", "escape");
  expect_error(std::string("{{ a\0b }}", 9), "unexpected character");
  expect_error("{{ \xff }}", "unexpected character");
  expect_error("{{ \xc3\xa9 }}", "unexpected character");
}

TEST(JinjaHostile, IntegerEdges) {
  for (const char* source :
       {"{{ -9223372036854775807 - 2 }}", "{{ (-9223372036854775807 - 1) | abs }}",
        "{{ (-9223372036854775807 - 1) // -1 }}", "{{ 9223372036854775807 * 2 }}", "{{ 2 ** 64 }}",
        "{{ 3 ** 9223372036854775807 }}", "{{ [9223372036854775807, 1] | sum }}"}) {
    expect_error(source, "does not fit 64 bits");
  }
  const char* edges =
      "{{ (-9223372036854775807 - 1) % -1 }} {{ 'abc'[-9223372036854775807:9223372036854775807] }} "
      "{{ 'abc'[9223372036854775807::-9223372036854775807] }} {{ 1 ** 9223372036854775807 }} "
      "{{ range(9223372036854775806, 9223372036854775807, 9223372036854775807) }} "
      "{{ 2.5 | round(9999) }} {{ 1.5 | round(-9999) }} {{ (-9223372036854775807 - 1) is even }}";
  EXPECT_EQ(*render_test(edges, {}, true), "0 abc c 1 [9223372036854775806] 2.5 0.0 True");
}

// Random damage to real templates: any result, but a result, and soon.
TEST(JinjaHostile, Mutations) {
  std::ifstream file(NIBBLE_SOURCE_DIR "/tests/golden/chat-templates.json");
  std::vector<std::string> sources = {
      "{{ bos_token }}{%- for message in messages -%}{%- set role = 'model' if message['role'] == "
      "'assistant' else message['role'] -%}{{ '<start_of_turn>' + role + '\n' + message['content']"
      " | trim + '<end_of_turn>\n' }}{%- endfor -%}{%- if add_generation_prompt -%}"
      "{{ '<start_of_turn>model\n' }}{%- endif -%}"};
  for (const auto& entry : nlohmann::json::parse(file)) sources.push_back(entry["template"]);
  const std::vector<ChatMessage> messages = {
      {"system", "Be brief."}, {"user", "Hi"}, {"assistant", "Yes"}, {"user", "Why?"}};
  Random random(1);
  int rendered = 0;
  constexpr int kRuns = 6000;
  for (int run = 0; run < kRuns; ++run) {
    std::string source = sources[run % sources.size()];
    for (uint64_t edits = 1 + random.next() % 3; edits > 0 && !source.empty(); --edits) {
      const size_t at = random.next() % source.size();
      switch (random.next() % 4) {
        case 0:
          source[at] = static_cast<char>(source[at] ^ (1 << random.next() % 8));
          break;
        case 1:
          source.erase(at, 1 + random.next() % 8);
          break;
        case 2:
          source.insert(at, source.substr(random.next() % source.size(), 1 + random.next() % 20));
          break;
        default:
          source[at] = "{}%#()[]'\"|.,:-+*/<>=!~ \n"[random.next() % 26];
      }
    }
    const double start = processor_ms();
    const Result<std::string> text = render_test(source, messages, true);
    EXPECT_LT(processor_ms() - start, kLimitMs) << source;
    rendered += text.ok();
  }
  EXPECT_GT(rendered, kRuns / 10);
  EXPECT_LT(rendered, kRuns * 9 / 10);
}

}  // namespace
}  // namespace nibble::jinja
