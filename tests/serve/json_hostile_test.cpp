// JSON and JSON Schemas made to take long: they are read, compiled or refused in a time that does
// not depend on their form. Measured in processor time of this thread, so that a busy machine fails
// nothing.
#include <gtest/gtest.h>

#include <ctime>
#include <functional>
#include <string>

#include "tools/nibble/serve/fields.h"
#include "tools/nibble/serve/json_reader.h"
#include "tools/nibble/serve/json_schema.h"

namespace nibble::cli {
namespace {

// A fortieth of it and less on a machine of today.
#ifdef NIBBLE_SANITIZED
constexpr double kMostSeconds = 20;
#else
constexpr double kMostSeconds = 1;
#endif

double processor_seconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

std::string repeated(size_t count, const std::function<std::string(size_t)>& one) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += (i == 0 ? "" : ",") + one(i);
  return out;
}
std::string field(size_t i, const std::string& value) {
  return "\"f" + std::to_string(i) + "\":" + value;
}

// What the request gets: the refusal, or nothing when it is compiled.
std::string outcome(const std::string& schema) {
  try {
    const Json body = parse_body("{\"schema\":" + schema + "}");
    compile_grammar(schema_grammar(body["schema"], "schema"), "schema");
    return {};
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status, 400);
    return error.message;
  }
}

struct Hostile {
  const char* name;
  std::string schema;
  const char* said;  // empty: it is compiled
};
void PrintTo(const Hostile& hostile, std::ostream* out) {
  *out << hostile.name;
}

std::string object_of(size_t count, const std::string& value) {
  return R"({"type":"object","properties":{)" +
         repeated(count, [&](size_t i) { return field(i, value); }) + "}}";
}

// a0 -> a1 -> ... by references.
std::string chain(size_t length) {
  return R"({"$ref":"#/$defs/f0","$defs":{)" +
         repeated(length,
                  [&](size_t i) {
                    const std::string next = "#/$defs/f" + std::to_string(i + 1);
                    return field(
                        i, R"({"type":"object","properties":{"x":{"$ref":")" + next + "\"}}}");
                  }) +
         ",\"f" + std::to_string(length) + "\":{}}}";
}

std::vector<Hostile> all_hostile() {
  std::string nested = "{}";
  for (int i = 0; i < 29; ++i) {
    nested = R"({"items":)" + nested + R"(,"type":"array","minItems":4000})";
  }
  const std::string many_names =
      repeated(9'000, [](size_t i) { return "\"f" + std::to_string(i) + "\""; });
  return {
      {"500 fields", object_of(500, R"({"type":"null"})"), ""},
      {"2,000 fields", object_of(2'000, R"({"type":"null"})"), ""},
      {"6,000 fields", object_of(6'000, R"({"type":"null"})"), "too large"},
      {"a million fields", object_of(1'000'000, "0"), "more than 10000 fields"},
      {"required without end",
       R"({"properties":{)" + repeated(4'900, [](size_t i) { return field(i, "{}"); }) +
           R"(},"required":[)" + many_names + "]}",
       "not among the properties"},
      {"a field twice", R"({"properties":{"a":{},"a":{}}})", "'a' twice"},
      {"a long enum", R"({"enum":[)" + many_names + "]}", ""},
      {"a longer enum",
       R"({"enum":[)" + repeated(300'000, [](size_t i) { return std::to_string(i); }) + "]}",
       "too large"},
      {"references one behind the other", chain(3'000), "too deep"},
      {"references beside one another",
       R"({"anyOf":[)" +
           repeated(2'400,
                    [](size_t i) { return R"({"$ref":"#/$defs/f)" + std::to_string(i) + "\"}"; }) +
           R"(],"$defs":{)" +
           repeated(2'400, [](size_t i) { return field(i, R"({"type":"string"})"); }) + "}}",
       ""},
      {"lists of lists of lists", nested, ""},
      {"alternatives of alternatives",
       R"({"anyOf":[)" +
           repeated(70,
                    [](size_t) {
                      return R"({"anyOf":[)" +
                             repeated(70, [](size_t) { return std::string("{}"); }) + "]}";
                    }) +
           "]}",
       ""},
      {"long texts", R"({"type":"array","minItems":4000,"maxItems":4000,"items":
          {"type":"string","minLength":4000,"maxLength":4000}})",
       ""},
      {"many long texts", object_of(200, R"({"type":"string","minLength":4000,"maxLength":4000})"),
       "too large"},
      {"too deep", std::string(100, '[') + std::string(100, ']'), "more than 64 deep"},
      {"much too deep", std::string(5'000'000, '['), "more than 64 deep"},
  };
}

class HostileSchemaTest : public testing::TestWithParam<Hostile> {};

TEST_P(HostileSchemaTest, TakesNoTime) {
  const double start = processor_seconds();
  const std::string said = outcome(GetParam().schema);
  const double took = processor_seconds() - start;
  RecordProperty("milliseconds", static_cast<int>(took * 1e3));
  EXPECT_LT(took, kMostSeconds);
  if (*GetParam().said == '\0') {
    EXPECT_EQ(said, "");
  } else {
    EXPECT_NE(said.find(GetParam().said), std::string::npos) << said.substr(0, 200);
  }
}

INSTANTIATE_TEST_SUITE_P(All, HostileSchemaTest, testing::ValuesIn(all_hostile()));

TEST(JsonReader, ReadsWhatTheLibraryReads) {
  for (const char* text :
       {R"({"b":[1,-2,2.5e3,"x\u00e9\n",true,false,null,{}],"a":{"z":[[]],"y":""}})", "[]", "5",
        "\"text\"", "null", "18446744073709551615", "[[1],[2,[3]]]"}) {
    EXPECT_EQ(read_json(text, "it").dump(), Json::parse(text).dump());
  }
}

TEST(JsonReader, RefusesWhatTheLibraryRefuses) {
  for (const char* text : {"", "{", "{\"a\"}", "[1,]", "{\"a\":1,}", "nul", "\"\xff\"", "1e999",
                           "[1] 2", "{1:2}", "\"a\nb\"", "01"}) {
    EXPECT_THROW(read_json(text, "it"), ApiError) << text;
  }
}

}  // namespace
}  // namespace nibble::cli
