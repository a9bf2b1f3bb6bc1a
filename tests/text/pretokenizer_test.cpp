// Words by the rules whose patterns tell capitals from small letters. The random texts that are cut
// by the patterns themselves are in pre_tokenizer_oracle.cpp.
#include "runtime/text/pretokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nibble {
namespace {

using Words = std::vector<std::string>;

Words split(const char* rule, const std::string& text) {
  const auto found = find_pre_tokenizer(rule);
  EXPECT_TRUE(found.ok()) << rule;
  Words words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = next_word(found->kind, text, at);
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

TEST(PreTokenizer, CapitalsBeginAWord) {
  for (const char* rule : {"gpt-4o", "tekken"}) {
    EXPECT_EQ(split(rule, "HTTPServerError NASA"), (Words{"HTTPServer", "Error", " NASA"}));
    EXPECT_EQ(split(rule, "a/b//\n/c"), (Words{"a", "/b", "//\n/", "c"}));
    EXPECT_EQ(split(rule, "\u00C9t\u00E9 \u01C5x"), (Words{"\u00C9t\u00E9", " \u01C5x"}));
  }
  EXPECT_EQ(split("dbrx", "HTTPServer's a//\n/"), (Words{"HTTPServer", "'s", " a", "//\n", "/"}));
}

TEST(PreTokenizer, WhatHasNoCaseIsOfBothParts) {
  for (const char* rule : {"gpt-4o", "tekken"}) {
    EXPECT_EQ(split(rule, "\u6F22Word"), (Words{"\u6F22Word"}));
    EXPECT_EQ(split(rule, "AB\u6F22ab"), (Words{"AB\u6F22ab"}));
    EXPECT_EQ(split(rule, "AB\u6F22CD"), (Words{"AB\u6F22", "CD"}));
    EXPECT_EQ(split(rule, "e\u0301t"), (Words{"e\u0301t"}));
    EXPECT_EQ(split(rule, "\u0301A"), (Words{"\u0301", "A"}));  // a mark is no letter, nor a symbol
    EXPECT_EQ(split(rule, "!!\u0301"), (Words{"!!\u0301"}));
    EXPECT_EQ(split(rule, "!\u0301"), (Words{"!\u0301"}));
  }
}

TEST(PreTokenizer, ContractionsAndNumbers) {
  EXPECT_EQ(split("gpt-4o", "It isn't 12345"), (Words{"It", " isn't", " ", "123", "45"}));
  EXPECT_EQ(split("tekken", "It isn't 123"), (Words{"It", " isn", "'t", " ", "1", "2", "3"}));
  EXPECT_EQ(split("gpt-4o", "WE'LL'll"), (Words{"WE'LL", "'ll"}));
}

TEST(PreTokenizer, BeginningOfTextAndWholeWords) {
  EXPECT_TRUE(find_pre_tokenizer("tekken")->adds_bos);
  EXPECT_TRUE(find_pre_tokenizer("tekken")->whole_words);
  EXPECT_FALSE(find_pre_tokenizer("gpt-4o")->adds_bos);
  EXPECT_FALSE(find_pre_tokenizer("gpt-4o")->whole_words);
  EXPECT_FALSE(find_pre_tokenizer("dbrx")->adds_bos);
  EXPECT_FALSE(find_pre_tokenizer("dbrx")->whole_words);
}

}  // namespace
}  // namespace nibble
