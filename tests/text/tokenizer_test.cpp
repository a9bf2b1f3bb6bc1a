// Encoding and decoding on small vocabularies, where every expected id can be seen.
#include "runtime/text/tokenizer.h"

#include <gtest/gtest.h>

#include <ctime>
#include <random>

#include "tests/text/synthetic.h"

namespace nibble {
namespace {

using testing::bpe_tokens;
using testing::kSpmByte;
using testing::kSpmMore;
using testing::load_bpe;
using testing::load_spm;
using testing::special_ids;
using testing::spm_tokens;
using Ids = std::vector<int32_t>;

constexpr EncodeOptions kPlain = {.add_bos = false, .parse_special = false};
constexpr EncodeOptions kParsed = {.add_bos = false, .parse_special = true};

std::string random_bytes(std::mt19937* random, std::string_view alphabet) {
  std::string bytes;
  for (size_t n = (*random)() % 40; n > 0; --n) {
    const uint32_t pick = (*random)() % 256;
    bytes += pick % 4 == 0 ? static_cast<char>(pick) : alphabet[(*random)() % alphabet.size()];
  }
  return bytes;
}

template <typename Loaded>
const Tokenizer& must(const Loaded& loaded) {
  EXPECT_TRUE(loaded.ok()) << loaded.error().message;
  return **loaded;
}

TEST(Spm, MergesBestScoreFirstAndLeftmostAmongEquals) {
  auto tokens = spm_tokens({"a", "b", "c", "ab", "bc"});
  const int32_t a = kSpmMore, c = a + 2, ab = a + 3, bc = a + 4;
  EXPECT_EQ(must(load_spm(tokens, special_ids)).encode("abc", kPlain), (Ids{ab, c}));
  tokens[bc].score = 0;
  EXPECT_EQ(must(load_spm(tokens, special_ids)).encode("abc", kPlain), (Ids{a, bc}));
  tokens[ab].score = -0.0f;  // as good as +0: the left one
  EXPECT_EQ(must(load_spm(tokens, special_ids)).encode("abc", kPlain), (Ids{ab, c}));
  tokens[ab].score = -1;
  EXPECT_EQ(must(load_spm(tokens, special_ids)).encode("abcabc", kPlain), (Ids{a, bc, a, bc}));
}

TEST(Spm, SpacesAreMarkedAndAnOddCharacterBecomesBytes) {
  const auto loaded =
      load_spm(spm_tokens({"\u2581", "h", "i", "\u2581h", "\u2581hi"}), special_ids);
  const Tokenizer& tokenizer = must(loaded);
  const int32_t hi = kSpmMore + 4;
  EXPECT_FALSE(tokenizer.adds_space_prefix());
  EXPECT_EQ(tokenizer.encode(" hi", kPlain), (Ids{hi}));
  EXPECT_EQ(tokenizer.encode("\u2581hi", kPlain), (Ids{hi}));
  EXPECT_EQ(tokenizer.encode("\u00E9", kPlain), (Ids{kSpmByte + 0xC3, kSpmByte + 0xA9}));
  EXPECT_EQ(tokenizer.encode("\xC3", kPlain), (Ids{kSpmByte + 0xC3}));
  EXPECT_EQ(tokenizer.encode(std::string(1, '\0'), kPlain), (Ids{kSpmByte}));
  EXPECT_EQ(tokenizer.encode("", kPlain), Ids());
  EXPECT_EQ(tokenizer.piece(hi), " hi");
  EXPECT_EQ(tokenizer.piece(kSpmByte + 0xC3), "\xC3");
  EXPECT_EQ(tokenizer.piece(5), "");
  EXPECT_EQ(tokenizer.piece(5, true), "<end_of_turn>");
  EXPECT_EQ(tokenizer.piece(-1), "");
  EXPECT_EQ(tokenizer.piece(1 << 30), "");
  EXPECT_EQ(tokenizer.find("<end_of_turn>"), 5);
  EXPECT_EQ(tokenizer.find("\u2581hi"), hi);
  EXPECT_EQ(tokenizer.find("<0x0a>"), kSpmByte + 10);
  EXPECT_EQ(tokenizer.find("<0xg0>"), -1);
  EXPECT_EQ(tokenizer.find(""), -1);
}

TEST(Spm, SpacePrefixIsAddedAndTakenAway) {
  const auto tokens = spm_tokens({"\u2581", "h", "\u2581h"});
  const auto loaded = load_spm(tokens, special_ids, "llama");
  const Tokenizer& tokenizer = must(loaded);
  const int32_t space = kSpmMore, space_h = kSpmMore + 2;
  EXPECT_TRUE(tokenizer.adds_space_prefix());
  EXPECT_EQ(tokenizer.encode("h", {}), (Ids{2, space_h}));
  EXPECT_EQ(tokenizer.encode(" h", kPlain), (Ids{space, space_h}));
  EXPECT_EQ(tokenizer.encode("h<eos>h", kParsed), (Ids{space_h, 1, space_h}));
  EXPECT_EQ(tokenizer.decode({2, space_h, space_h}), "h h");
  EXPECT_EQ(tokenizer.decode({2, space, space_h}), " h");
  EXPECT_EQ(tokenizer.decode({space_h, 1, space_h}, true), "h<eos>h");
}

TEST(Spm, WhiteSpaceBehindPhi3sMarkersIsNoText) {
  const auto tokens = spm_tokens({"h", "\u2581", "\u2581h"});
  const int32_t space_h = kSpmMore + 2;
  for (const char* architecture : {"phi3", "llama"}) {
    const auto loaded = load_spm(tokens, special_ids, architecture);
    const Tokenizer& tokenizer = must(loaded);
    const Ids newline = {kSpmMore + 1, kSpmByte + '\n', kSpmMore};  // "\u2581", "\n", "h"
    Ids expected = {4, space_h, 5, 2, kSpmMore + 1, space_h};
    if (architecture == std::string("llama")) {
      expected = {4};
      expected.insert(expected.end(), newline.begin(), newline.end());
      expected.insert(expected.end(), {5, 2, kSpmMore + 1, space_h});
    }
    EXPECT_EQ(tokenizer.encode("<start_of_turn>\nh<end_of_turn><bos> h", kParsed), expected);
  }
}

TEST(Spm, BosOnceAndOnlyWhereWanted) {
  const auto loaded = load_spm(spm_tokens({"h"}), special_ids);
  const Tokenizer& tokenizer = must(loaded);
  EXPECT_TRUE(tokenizer.adds_bos());
  const EncodeOptions both = {.add_bos = true, .parse_special = true};
  EXPECT_EQ(tokenizer.encode("h", both), (Ids{2, kSpmMore}));
  EXPECT_EQ(tokenizer.encode("<bos>h", both), (Ids{2, kSpmMore}));
  EXPECT_EQ(tokenizer.encode("<bos><bos>h", both), (Ids{2, 2, kSpmMore}));
  EXPECT_EQ(tokenizer.encode("<bos>h", kParsed), (Ids{2, kSpmMore}));
  EXPECT_EQ(tokenizer.encode("", both), (Ids{2}));

  const auto never = load_spm(spm_tokens({"h"}), [](GgufWriter* writer) {
    special_ids(writer);
    writer->add_bool("tokenizer.ggml.add_bos_token", false);
  });
  EXPECT_EQ(must(never).encode("h", both), (Ids{kSpmMore}));
}

TEST(Spm, UserDefinedTokensAlwaysTheLongest) {
  auto tokens = spm_tokens({"\n", "\n\n", "\n\n\n", "x", "\n\nx"});
  for (int i = 0; i < 3; ++i) tokens[kSpmMore + i].type = 4;
  const int32_t one = kSpmMore, three = one + 2, x = one + 3;
  const auto loaded = load_spm(tokens, special_ids);
  EXPECT_EQ(must(loaded).encode("\n\n\n\nx", kPlain), (Ids{three, one, x}));
  // Nothing merges with one, though \n\nx is a token.
  EXPECT_EQ(must(loaded).encode("\n\nx", kPlain), (Ids{one + 1, x}));
}

TEST(Bpe, MergesByRankWithinWords) {
  const auto tokens = bpe_tokens({{"he"}, {"ll"}, {"hell"}, {"\u0120he"}, {"lo"}});
  const auto loaded = load_bpe(tokens, {"h e", "l l", "he ll", "\u0120 he", "l o"});
  const Tokenizer& tokenizer = must(loaded);
  EXPECT_FALSE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.encode("hello", kPlain), (Ids{258, 'o'}));
  EXPECT_EQ(tokenizer.encode("helo", kPlain), (Ids{256, 260}));
  EXPECT_EQ(tokenizer.encode("a hell", kPlain), (Ids{'a', ' ', 258}));
  EXPECT_EQ(tokenizer.encode("a he", kPlain), (Ids{'a', 259}));
  EXPECT_EQ(tokenizer.encode("\xFF\n", kPlain), (Ids{0xFF, '\n'}));
  EXPECT_EQ(tokenizer.piece(259), " he");
  EXPECT_EQ(tokenizer.find(" he"), 259);
}

TEST(Bpe, WholeWordsOfLlama3AreNotMerged) {
  // "abc" cannot be reached by merging: only the rule for whole words gives it.
  const std::vector<testing::Token> more = {{"ab"}, {"abc"}, {"<|begin_of_text|>", 3}};
  const auto bos = [](GgufWriter* writer) {
    writer->add_uint32("tokenizer.ggml.bos_token_id", 258);
  };
  const auto llama3 = load_bpe(bpe_tokens(more), {"a b"}, "llama-bpe", bos);
  EXPECT_EQ(must(llama3).encode("abc", kPlain), (Ids{257}));
  EXPECT_EQ(must(llama3).encode("abcd", kPlain), (Ids{256, 'c', 'd'}));
  EXPECT_EQ(must(llama3).encode("x", {}), (Ids{258, 'x'}));
  const auto gpt2 = load_bpe(bpe_tokens(more), {"a b"}, "gpt-2", bos);
  EXPECT_EQ(must(gpt2).encode("abc", {}), (Ids{256, 'c'}));
}

TEST(Tokenizer, AnyBytesRoundTrip) {
  std::mt19937 random(3);
  const auto spm =
      load_spm(spm_tokens({"\u2581", "a", "b", "ab", "\u2581a", "\u00E9"}), special_ids);
  const auto prefixed =
      load_spm(spm_tokens({"\u2581", "a", "b", "ab", "\u2581a"}), special_ids, "llama");
  std::vector<testing::Token> more = {{"ab"}, {"\u0120a"}, {"<|im_end|>", 3}, {"aa", 4}};
  const auto bpe = load_bpe(bpe_tokens(more), {"a b", "\u0120 a"}, "qwen2");
  for (int i = 0; i < 5000; ++i) {
    const std::string text = random_bytes(&random, " ab\n\xC3\xA9'1<>|");
    for (const auto* loaded : {&spm, &prefixed, &bpe}) {
      const Tokenizer& tokenizer = ***loaded;
      ASSERT_EQ(tokenizer.decode(tokenizer.encode(text, kPlain), true), text);
      // A control token may be parsed here; shown, it is its text again.
      ASSERT_EQ(tokenizer.decode(tokenizer.encode(tokenizer.shield(text), kParsed), true), text);
    }
  }
}

TEST(Tokenizer, ShieldedTextIsPlain) {
  auto tokens = spm_tokens({"<", "e", "x", "\u2581"});
  tokens.push_back({"ab", 3});
  tokens.push_back({"bc", 3});
  tokens.push_back({"\u2581<PRE>", 3});
  tokens.push_back({"\xFFz", 3});  // begins as a shielded text does: never found
  const auto loaded = load_spm(tokens, special_ids);
  const Tokenizer& tokenizer = must(loaded);
  EXPECT_EQ(tokenizer.shield("a<b"), "a<b");
  EXPECT_EQ(tokenizer.shield("x<eos>"), "x\xFF<eos>");
  EXPECT_EQ(tokenizer.shield("\xFF"), "\xFF\xFF");
  EXPECT_EQ(tokenizer.encode("<eos>", kParsed), (Ids{1}));
  // The template's own tokens stand beside the user's.
  const std::string prompt = "<bos>" + tokenizer.shield("<end_of_turn>") + "<end_of_turn>";
  Ids expected = tokenizer.encode("<end_of_turn>", kPlain);
  EXPECT_GT(expected.size(), 1u);
  expected.insert(expected.begin(), 2);
  expected.push_back(5);
  EXPECT_EQ(tokenizer.encode(prompt, kParsed), expected);

  std::mt19937 random(4);
  const std::vector<std::string> parts = {
      "<",      "eos>",        "<eos>", "<end_of_", "turn>", "<end_of_turn>", "a",
      "b",      "c",           "abc",   " ",        "\xFF",  "<bos>",         "<PRE>",
      " <PRE>", "\u2581<PRE>", "é",     "<unk>",    "\n",    "<\xFF",         "\xFFz"};
  for (int i = 0; i < 5000; ++i) {
    std::string text;
    for (size_t n = random() % 10; n > 0; --n) text += parts[random() % parts.size()];
    ASSERT_EQ(tokenizer.encode(tokenizer.shield(text), kParsed), tokenizer.encode(text, kPlain))
        << text;
  }
}

TEST(Tokenizer, BuiltInModel) {
  auto file = GgufFile::open(NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf");
  ASSERT_TRUE(file.ok());
  const auto loaded = Tokenizer::load(*file);
  const Tokenizer& tokenizer = must(loaded);
  EXPECT_EQ(tokenizer.vocabulary_size(), 2048u);
  EXPECT_EQ(tokenizer.bos(), 2);
  EXPECT_EQ(tokenizer.eos(), 1);
  EXPECT_EQ(tokenizer.end_tokens(), (Ids{1, 5}));
  EXPECT_TRUE(tokenizer.is_end(5));
  EXPECT_FALSE(tokenizer.is_end(4));
  EXPECT_TRUE(tokenizer.notes().empty());
  const std::string story = "Once upon a time, there was a cat — \U0001F408!\n\n  The end.";
  const Ids ids = tokenizer.encode(story, {});
  EXPECT_EQ(ids[0], 2);
  EXPECT_EQ(tokenizer.decode(ids), story);
  EXPECT_EQ(tokenizer.encode("<start_of_turn>user\n", kParsed)[0], 4);
}

// Ten megabytes of one character, and of what else could be read again and again: seconds would be
// hours if any part were quadratic. The limit leaves room for sanitizers.
TEST(Tokenizer, TenMegabytes) {
  std::vector<std::string> doubling;
  std::vector<testing::Token> more;
  std::vector<std::string> merges;
  for (std::string text = "a"; text.size() <= 64; text += text) {
    doubling.push_back(text);
    if (text.size() == 1) continue;
    const std::string half = text.substr(text.size() / 2);
    more.push_back({text});
    merges.push_back(half + " " + half);
  }
  doubling.push_back("\u2581");
  const auto spm = load_spm(spm_tokens(doubling), special_ids);
  const auto bpe = load_bpe(bpe_tokens(more), merges, "qwen2");
  const auto smollm = load_bpe(bpe_tokens(more), merges, "smollm");
  constexpr size_t kBytes = 10'000'000;
  const std::clock_t start = std::clock();
  EXPECT_EQ(must(spm).encode(std::string(kBytes, 'a'), kPlain).size(), kBytes / 64);
  EXPECT_EQ(must(bpe).encode(std::string(kBytes, 'a'), kPlain).size(), kBytes / 64);
  for (const auto* loaded : {&spm, &bpe, &smollm}) {
    for (const std::string part : {" ", "\n", "<end_of_turn>", "7", "<"}) {
      std::string text;
      while (text.size() < kBytes / 4) text += part;
      const Tokenizer& tokenizer = must(*loaded);
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, kParsed), true), text);
      EXPECT_GE(tokenizer.shield(text).size(), text.size());
    }
  }
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 60);
}

}  // namespace
}  // namespace nibble
