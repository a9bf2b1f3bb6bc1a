// Vocabularies that are wrong: put right with a note, or refused with an error that names the key.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/text/synthetic.h"

namespace nibble {
namespace {

using testing::add_scores;
using testing::add_tokens;
using testing::bpe_tokens;
using testing::Keys;
using testing::kSpmByte;
using testing::kSpmMore;
using testing::load_bpe;
using testing::load_keys;
using testing::load_spm;
using testing::special_ids;
using testing::spm_tokens;
using testing::Token;
using Ids = std::vector<int32_t>;

constexpr EncodeOptions kParsed = {.add_bos = false, .parse_special = true};

template <typename Loaded>
void expect_error(const Loaded& loaded, const std::vector<std::string>& parts) {
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, ErrorCode::kData);
  for (const std::string& part : parts) {
    EXPECT_NE(loaded.error().message.find(part), std::string::npos)
        << loaded.error().message << " lacks " << part;
  }
}

template <typename Loaded>
std::string notes_of(const Loaded& loaded) {
  EXPECT_TRUE(loaded.ok()) << loaded.error().message;
  std::string notes;
  for (const std::string& note : (*loaded)->notes()) notes += note + "\n";
  return notes;
}

TEST(Vocabulary, ModelMustBeKnown) {
  expect_error(load_keys([](GgufWriter*) {}), {"tokenizer.ggml.model"});
  expect_error(load_keys([](GgufWriter* w) { w->add_string("tokenizer.ggml.model", "rwkv"); }),
               {"tokenizer.ggml.model", "rwkv", "llama", "gpt2"});
  expect_error(load_keys([](GgufWriter* w) { w->add_uint32("tokenizer.ggml.model", 1); }),
               {"tokenizer.ggml.model"});
}

TEST(Vocabulary, TokensMustBeStrings) {
  const Keys spm = [](GgufWriter* w) { w->add_string("tokenizer.ggml.model", "llama"); };
  expect_error(load_keys(spm), {"tokenizer.ggml.tokens", "missing"});
  for (const int32_t count : {0, 3}) {
    expect_error(load_keys([&](GgufWriter* w) {
                   spm(w);
                   w->add_int32s("tokenizer.ggml.tokens", Ids(count));
                 }),
                 {"tokenizer.ggml.tokens", "strings"});
  }
  expect_error(load_spm({}), {"tokenizer.ggml.tokens", "empty"});
}

TEST(Vocabulary, ScoresAndTypesMustFit) {
  const auto tokens = spm_tokens({"a"});
  const auto load = [&](const Keys& add) {
    return load_keys([&](GgufWriter* w) {
      w->add_string("tokenizer.ggml.model", "llama");
      add(w);
    });
  };
  const std::string count = std::to_string(tokens.size());
  expect_error(load([&](GgufWriter* w) { add_tokens(w, tokens); }),
               {"tokenizer.ggml.scores", "missing"});
  expect_error(load([&](GgufWriter* w) {
                 add_tokens(w, tokens);
                 w->add_float32s("tokenizer.ggml.scores", std::vector<float>(tokens.size() - 1));
               }),
               {"tokenizer.ggml.scores", count});
  // One byte where four are read elsewhere.
  expect_error(load([&](GgufWriter* w) {
                 add_tokens(w, tokens);
                 GgufArray bytes;
                 bytes.uints.assign(tokens.size(), 1);
                 w->add("tokenizer.ggml.scores", {GgufType::kArray, bytes});
               }),
               {"tokenizer.ggml.scores", count});
  expect_error(load([&](GgufWriter* w) {
                 w->add_strings("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
                 w->add_int32s("tokenizer.ggml.token_type", Ids(3, 1));
               }),
               {"tokenizer.ggml.token_type", "3", "2"});
  expect_error(load([&](GgufWriter* w) {
                 w->add_strings("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
                 w->add_string("tokenizer.ggml.token_type", "normal");
               }),
               {"tokenizer.ggml.token_type"});
  auto nan = tokens;
  nan[kSpmMore].score = std::numeric_limits<float>::quiet_NaN();
  expect_error(load_spm(nan), {"tokenizer.ggml.scores", std::to_string(kSpmMore)});
  nan[kSpmMore].score = -std::numeric_limits<float>::infinity();
  EXPECT_TRUE(load_spm(nan).ok());
}

TEST(Vocabulary, SpecialIdsMustExist) {
  for (const std::string key : {"bos", "eos", "unknown", "eot", "eom"}) {
    const std::string name = "tokenizer.ggml." + key + "_token_id";
    const auto with = [&](uint32_t id) {
      return load_spm(spm_tokens({}), [&](GgufWriter* w) { w->add_uint32(name, id); });
    };
    expect_error(with(kSpmMore), {name, "is 262", "262 tokens"});
    expect_error(with(0x7FFFFFFF), {name, "2147483647"});
    EXPECT_TRUE(with(kSpmMore - 1).ok());
    EXPECT_TRUE(with(0xFFFFFFFF).ok());  // how some writers say "none"
    expect_error(load_spm(spm_tokens({}), [&](GgufWriter* w) { w->add_string(name, "2"); }),
                 {name});
  }
}

TEST(Vocabulary, GoogleFilesWithoutKeysAndWithWrongTypes) {
  auto tokens = spm_tokens({"<", "e", "</s>", "\u2581"});
  for (Token& token : tokens) token.type = 1;
  tokens[kSpmMore + 2].type = 4;  // in Gemma's vocabulary this is HTML
  const auto loaded = load_spm(tokens, [](GgufWriter* w) {
    w->add_uint32("tokenizer.ggml.bos_token_id", 2);
    w->add_uint32("tokenizer.ggml.eos_token_id", 1);
  });
  const std::string notes = notes_of(loaded);
  EXPECT_NE(notes.find("<end_of_turn>' (5)"), std::string::npos) << notes;
  EXPECT_NE(notes.find("byte tokens"), std::string::npos) << notes;
  const Tokenizer& tokenizer = **loaded;
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_FALSE(tokenizer.adds_space_prefix());
  EXPECT_EQ(tokenizer.end_tokens(), (Ids{1, 5}));
  EXPECT_EQ(tokenizer.encode("<start_of_turn>\n<end_of_turn>", kParsed),
            (Ids{4, kSpmByte + '\n', 5}));
  EXPECT_EQ(tokenizer.encode("<bos>", {.add_bos = false})[0], kSpmMore);
  EXPECT_EQ(tokenizer.encode("</s>", kParsed), (Ids{kSpmMore + 2}));
}

TEST(Vocabulary, LlamaDefaults) {
  std::vector<Token> tokens = {{"<unk>", 2}, {"<s>", 3}, {"</s>", 3}, {"a"}, {"\u2581a"}};
  const auto loaded = load_spm(
      tokens, [](GgufWriter*) {}, "llama");
  const Tokenizer& tokenizer = **loaded;
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_EQ(tokenizer.end_tokens(), (Ids{2}));
  EXPECT_EQ(tokenizer.encode("a", {}), (Ids{1, 4}));
  // No bytes, no unknown token: nothing to write it with.
  EXPECT_EQ(tokenizer.encode("ax", {.add_bos = false}), (Ids{4}));
}

TEST(Vocabulary, EndTokensByText) {
  const std::vector<Token> more = {{"<|endoftext|>", 3}, {"<|eot_id|>", 3}, {"<|im_end|>", 4},
                                   {"<|eom_id|>", 1},    {"</s>", 1},       {"stop", 3}};
  const auto loaded = load_bpe(bpe_tokens(more), {}, "qwen2", [](GgufWriter* w) {
    w->add_uint32("tokenizer.ggml.eos_token_id", 261);
  });
  EXPECT_EQ((**loaded).end_tokens(), (Ids{256, 257, 258, 259, 261}));
  EXPECT_NE(notes_of(loaded).find("<|im_end|>' (258), '<|eom_id|>' (259)"), std::string::npos);
}

TEST(Vocabulary, OddTokens) {
  auto tokens =
      spm_tokens({"", "a", "a", std::string(1 << 20, 'z'), "\xC3", std::string("b\0c", 3)});
  for (const char* text : {"<0x-1>", "<0x>", "<0x1>", "<0xZZ>", "<0x 1>", "<0x041>", ""}) {
    tokens.push_back({text, 6});
  }
  tokens.push_back({"<0x41>", 6});  // again
  tokens.push_back({std::string(1 << 20, '<'), 3});
  tokens.push_back({"", 3});
  tokens.push_back({"odd", 99});
  tokens.push_back({"odder", -1});
  const auto loaded = load_spm(tokens, special_ids);
  const std::string notes = notes_of(loaded);
  EXPECT_NE(notes.find("<0x-1>"), std::string::npos) << notes;
  EXPECT_NE(notes.find("2 tokens have the text"), std::string::npos) << notes;
  const Tokenizer& tokenizer = **loaded;
  EXPECT_EQ(tokenizer.encode("aA", kParsed), (Ids{kSpmMore + 1, kSpmByte + 'A'}));
  EXPECT_EQ(tokenizer.encode("\xC3", kParsed), (Ids{kSpmMore + 4}));
  EXPECT_EQ(tokenizer.piece(kSpmMore + 3).size(), 1u << 20);
  EXPECT_EQ(tokenizer.find(std::string("b\0c", 3)), kSpmMore + 5);
  EXPECT_EQ(tokenizer.encode(std::string(3000, '<'), kParsed).size(), 3000u);
}

TEST(Vocabulary, PreTokenizerMustBeKnown) {
  expect_error(load_bpe(bpe_tokens({}), {}, "gpt-3"),
               {"tokenizer.ggml.pre", "gpt-3", "gpt-2", "llama-bpe", "qwen2", "smollm", "tekken"});
  const auto old = load_bpe(bpe_tokens({}), {}, "default");
  EXPECT_NE(notes_of(old).find("tokenizer.ggml.pre"), std::string::npos);
}

TEST(Vocabulary, Merges) {
  expect_error(load_keys([](GgufWriter* w) {
                 w->add_string("tokenizer.ggml.model", "gpt2");
                 w->add_string("tokenizer.ggml.pre", "gpt-2");
                 add_tokens(w, bpe_tokens({}));
               }),
               {"tokenizer.ggml.merges", "missing"});
  const auto loaded = load_bpe(bpe_tokens({{"ab"}, {"bc"}, {"bc"}}),
                               {"a x", "q", "", " ", "a", "a ", " b", "zz b", "b c", "a b", "b c"});
  EXPECT_NE(notes_of(loaded).find("8 of 11 merges"), std::string::npos) << notes_of(loaded);
  EXPECT_EQ((**loaded).encode("abc", {}), (Ids{'a', 257}));
}

TEST(Vocabulary, BytesWithoutTokens) {
  const std::vector<Token> tokens = {{"a"}, {"<unk>", 2}};
  const auto dropped = load_bpe(tokens, {});
  EXPECT_EQ((**dropped).encode("aba", {}), (Ids{0, 0}));
  EXPECT_NE(notes_of(dropped).find("255 of 256"), std::string::npos);
  const auto unknown = load_bpe(tokens, {}, "gpt-2", [](GgufWriter* w) {
    w->add_uint32("tokenizer.ggml.unknown_token_id", 1);
  });
  EXPECT_EQ((**unknown).encode("aba", {}), (Ids{0, 1, 0}));
}

}  // namespace
}  // namespace nibble
