#include "runtime/text/utf8.h"

#include <gtest/gtest.h>

#include <random>

#include "runtime/text/unicode.h"

namespace nibble {
namespace {

std::string whole(std::string_view bytes) {
  Utf8Stream stream;
  const std::string out = stream.push(bytes);
  return out + stream.finish();
}

TEST(Utf8, EveryCodePointRoundTrips) {
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    std::string text;
    utf8_append(c, &text);
    uint32_t back = 0;
    const int length = utf8_decode(text + "x", &back);
    if (c >= 0xD800 && c <= 0xDFFF) {
      ASSERT_EQ(length, 0) << c;  // surrogates are no characters
      continue;
    }
    ASSERT_EQ(length, static_cast<int>(text.size())) << c;
    ASSERT_EQ(back, c);
  }
}

TEST(Utf8, RefusesWhatIsNotValid) {
  uint32_t c = 0;
  for (const char* bytes :
       {"", "\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xFE", "\xC3",
        "\xE2\x96", "\xF0\x9F\x9A", "\xC3\x41", "\xE2\x96\x41"}) {
    EXPECT_EQ(utf8_decode(bytes, &c), 0) << bytes;
  }
}

TEST(Utf8, ReplacesEachMaximalBadPart) {
  const std::string r = "\uFFFD";
  EXPECT_EQ(whole("a\xC3"), "a" + r);
  EXPECT_EQ(whole("\xE2\x96"), r);
  EXPECT_EQ(whole("\xE2\x96z"), r + "z");
  EXPECT_EQ(whole("\xF0\x9F\x9A\xF0\x9F\x9A\x80"), r + "\U0001F680");
  // The examples of the Unicode standard, tables 3-8 to 3-11.
  EXPECT_EQ(whole("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(whole("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(whole("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(whole("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
}

// However the bytes come, the text is the same, and every part of it is valid.
TEST(Utf8, StreamDoesNotDependOnChunks) {
  std::mt19937 random(2);
  const std::string alphabet("\x00 a\x7F\x80\x96\xA0\xBF\xC0\xC3\xE0\xE2\xED\xF0\x9F\x90\xF4\xFF",
                             18);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes;
    for (size_t n = random() % 24; n > 0; --n) bytes += alphabet[random() % alphabet.size()];
    Utf8Stream stream;
    std::string out;
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = 1 + random() % 5;
      const std::string part = stream.push(std::string_view(bytes).substr(at, size));
      ASSERT_EQ(whole(part), part);
      out += part;
      at += size;
    }
    out += stream.finish();
    ASSERT_EQ(out, whole(bytes));
    ASSERT_EQ(stream.finish(), "");  // and is ready for more
  }
}

TEST(Utf8, StreamHoldsBackHalfACharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("\xF0\x9F"), "");
  EXPECT_EQ(stream.push("\x9A"), "");
  EXPECT_EQ(stream.push("\x80!"), "\U0001F680!");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Unicode, Classes) {
  EXPECT_EQ(char_properties('a').kind, CharClass::kLetter);
  EXPECT_EQ(char_properties(0x6211).kind, CharClass::kLetter);
  EXPECT_EQ(char_properties(0x00BD).kind, CharClass::kNumber);  // one half
  EXPECT_EQ(char_properties(0x2167).kind, CharClass::kNumber);  // Roman eight
  EXPECT_EQ(char_properties(0x3000).kind, CharClass::kSpace);
  EXPECT_EQ(char_properties(0x0085).kind, CharClass::kSpace);
  EXPECT_EQ(char_properties(0x200B).kind, CharClass::kOther);  // zero width space is none
  EXPECT_EQ(char_properties(0x0301).kind, CharClass::kOther);  // a combining mark
  EXPECT_EQ(char_properties(0).kind, CharClass::kOther);
  EXPECT_EQ(char_properties(0xD800).kind, CharClass::kOther);
  EXPECT_EQ(char_properties(0x10FFFF).kind, CharClass::kOther);
  EXPECT_EQ(char_properties(0x110000).kind, CharClass::kOther);
  EXPECT_EQ(char_properties(0xFFFFFFFF).kind, CharClass::kOther);
}

}  // namespace
}  // namespace nibble
