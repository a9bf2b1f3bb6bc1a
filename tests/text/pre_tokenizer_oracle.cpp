// The hand-written pre-tokenisers against the published regular expressions in PCRE2, on random
// strings of characters that the rules tell apart. PCRE2 10.42 has the Unicode version of our
// table.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <gtest/gtest.h>
#include <pcre2.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "runtime/text/pretokenizer.h"
#include "runtime/text/unicode.h"
#include "runtime/text/utf8.h"

namespace nibble {
namespace {

// White_Space; PCRE2's own \s has U+180E too.
#define SPACES \
  R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})"
constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^)" SPACES R"(\p{L}\p{N}]+|[)" SPACES
    R"(]+(?![^)" SPACES R"(])|[)" SPACES R"(]+)";
#define MODERN(numbers)                                                                          \
  R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" numbers R"(| ?[^)" SPACES          \
  R"(\p{L}\p{N}]+[\r\n]*|[)" SPACES R"(]*[\r\n]+|[)" SPACES R"(]+(?![^)" SPACES R"(])|[)" SPACES \
  R"(]+)"
constexpr const char* kLlama3 = MODERN(R"(\p{N}{1,3})");
constexpr const char* kQwen2 = MODERN(R"(\p{N})");
#define CASED(contraction, numbers)                                                              \
  R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)" contraction  \
  R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)" contraction \
  "|" numbers R"(| ?[^)" SPACES R"(\p{L}\p{N}]+[\r\n/]*|[)" SPACES R"(]*[\r\n]+|[)" SPACES       \
  R"(]+(?![^)" SPACES R"(])|[)" SPACES R"(]+)"
constexpr const char* kGpt4o = CASED(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)", R"(\p{N}{1,3})");
constexpr const char* kTekken = CASED("", R"(\p{N})");

using Words = std::vector<std::string>;

class Pattern {
 public:
  explicit Pattern(const char* source) {
    int error = 0;
    size_t offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source), PCRE2_ZERO_TERMINATED,
                              PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
    EXPECT_NE(code_, nullptr) << source << " at " << offset;
    match_.reset(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
  }

  // Every match, in order; these patterns leave nothing between them.
  Words split(const std::string& text) const {
    Words words;
    for (size_t at = 0; at < text.size();) {
      const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                    text.size(), at, PCRE2_NO_UTF_CHECK, match_.get(), nullptr);
      const size_t* span = pcre2_get_ovector_pointer(match_.get());
      if (found <= 0 || span[0] != at || span[1] == at) {
        ADD_FAILURE() << "no match at " << at << " of " << text;
        return words;
      }
      words.push_back(text.substr(at, span[1] - at));
      at = span[1];
    }
    return words;
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
  };
  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_data, Free> match_;
};

Words split(PreTokenizer kind, const std::string& text) {
  Words words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = next_word(kind, text, at);
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

// Numbers cut out first, one by one, and the GPT-2 pattern on each piece between them.
Words split_smollm(const Pattern& gpt2, const Pattern& pieces, const std::string& text) {
  Words words;
  for (const std::string& piece : pieces.split(text)) {
    uint32_t code_point = 0;
    utf8_decode(piece, &code_point);
    const bool number = char_properties(code_point).kind == CharClass::kNumber;
    for (const std::string& word : number ? Words{piece} : gpt2.split(piece)) words.push_back(word);
  }
  return words;
}

std::string random_text(std::mt19937* random) {
  static const std::vector<std::string> kParts = {
      " ",  " ",      "  ",      "\n",     "\r",     "\t",     "\r\n",       "\u00A0", "\u3000",
      "'",  "s",      "S",       "\u017F", "t",      "re",     "VE",         "l",      "L",
      "d",  "m",      "a",       "\u00C4", "\u6211", "\u0939", "\u093F",     "\u01C5", "0",
      "12", "\u00BD", "\u0663",  "\u2167", ".",      "!",      "\U0001F680", "\u200D", "\uFE0F",
      "_",  "\u0085", "\u180E",  "\u2028", "\v",     "\uE000", "\u0301",     "e",      "9",
      "-",  "'ll",    "'\u017F", "K",      "\x7F",   "\u200B", "\u212A",     "7",      "\f",
      "/",  "Zz",     "AB",      "\u02B0", "\u0300", "\u00E9", "\u0410",     "\u3042", "\u20DD",
  };
  std::string text;
  const size_t count = (*random)() % 24;
  for (size_t i = 0; i < count; ++i) {
    if ((*random)() % 16 > 0) {
      text += kParts[(*random)() % kParts.size()];
      continue;
    }
    const uint32_t any = (*random)() % 0x110000;
    if (any < 0xD800 || any > 0xDFFF) utf8_append(any, &text);
  }
  return text;
}

class PreTokenizerOracle : public ::testing::Test {
 protected:
  void SetUp() override {
    char version[64] = "";
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
    if (std::string(version) != "14.0.0") GTEST_SKIP() << "PCRE2 has Unicode " << version;
  }
};

TEST_F(PreTokenizerOracle, RandomTexts) {
  const Pattern gpt2(kGpt2), llama3(kLlama3), qwen2(kQwen2), gpt4o(kGpt4o), tekken(kTekken);
  const Pattern pieces(R"(\p{N}|\P{N}+)");
  std::mt19937 random(1);
  for (int i = 0; i < 100000 && !::testing::Test::HasFailure(); ++i) {
    const std::string text = random_text(&random);
    ASSERT_EQ(split(PreTokenizer::kGpt2, text), gpt2.split(text));
    ASSERT_EQ(split(PreTokenizer::kSmolLm, text), split_smollm(gpt2, pieces, text));
    ASSERT_EQ(split(PreTokenizer::kLlama3, text), llama3.split(text));
    ASSERT_EQ(split(PreTokenizer::kQwen2, text), qwen2.split(text));
    ASSERT_EQ(split(PreTokenizer::kGpt4o, text), gpt4o.split(text));
    ASSERT_EQ(split(PreTokenizer::kTekken, text), tekken.split(text));
  }
}

TEST_F(PreTokenizerOracle, PropertiesOfEveryCodePoint) {
  const Pattern tagged(R"((?s)[\p{Lu}\p{Lt}]+|\p{Ll}+|[\p{Lm}\p{Lo}]+|\p{M}+|\p{N}+|[)" SPACES
                       R"(]+|[^\p{L}\p{M}\p{N})" SPACES "]+");
  // Runs of the same properties over all code points in order are cut where they change.
  std::string all;
  Words runs;
  CharProperties last;
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    const CharProperties now = char_properties(c);
    if (c == 0 || now.kind != last.kind || now.capital != last.capital || now.small != last.small) {
      runs.emplace_back();
    }
    last = now;
    utf8_append(c, &runs.back());
    utf8_append(c, &all);
  }
  EXPECT_EQ(tagged.split(all), runs);
}

}  // namespace
}  // namespace nibble
