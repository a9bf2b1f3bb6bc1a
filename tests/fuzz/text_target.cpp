// Text: tokenizers of both families, vocabularies that a stranger chose, UTF-8 in pieces.
#include <algorithm>
#include <memory>

#include "runtime/file/gguf.h"
#include "runtime/machine/memory.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/utf8.h"
#include "tests/fuzz/all.h"
#include "tests/text/synthetic.h"

namespace nibble::fuzz {
namespace {

using Loaded = std::shared_ptr<const Tokenizer>;

Loaded must(Result<Loaded> tokenizer) {
  require(tokenizer.ok(), "the test's vocabulary can be loaded");
  return *std::move(tokenizer);
}

const Tokenizer& spm() {
  static const Loaded tokenizer =
      must(testing::load_spm(testing::spm_tokens({"\xE2\x96\x81", "a", "b", "ab",
                                                  "\xE2\x96\x81"
                                                  "a",
                                                  "aa", "aaaa", "\n", "\n\n", "\xC3\xA9",
                                                  "\xE2\x96\x81\xE2\x96\x81", "<", "<s"}),
                             testing::special_ids));
  return *tokenizer;
}

const Tokenizer& bpe(size_t which) {
  static const char* const kinds[] = {"gpt-2", "llama-bpe", "qwen2", "smollm", "tekken"};
  static const std::vector<Loaded> tokenizers = [] {
    std::vector<Loaded> all;
    for (const char* kind : kinds) {
      auto loaded =
          testing::load_bpe(testing::bpe_tokens({{"th"},
                                                 {"he"},
                                                 {"the"},
                                                 {"\xC4\xA0t"},
                                                 {"\xC4\xA0the"},
                                                 {"11"},
                                                 {"<|end|>", 3},
                                                 {"<|im_end|>", 3},
                                                 {"<user>", 4}}),
                            {"t h", "h e", "th e", "\xC4\xA0 t", "\xC4\xA0t he", "1 1"}, kind);
      if (loaded) all.push_back(*loaded);
    }
    return all;
  }();
  return *tokenizers[which % tokenizers.size()];
}

void check_ids(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  for (const int32_t id : ids) {
    require(id >= 0 && static_cast<size_t>(id) < tokenizer.vocabulary_size(),
            "a token is of the vocabulary");
  }
}

// Text, its shielded form, and the text with control tokens read: none may fail, and the first two
// are the same.
std::vector<int32_t> encode_all(const Tokenizer& tokenizer, std::string_view text) {
  auto ids = tokenizer.encode(text, {.add_bos = false});
  check_ids(tokenizer, ids);
  check_ids(tokenizer, tokenizer.encode(text, {.add_bos = true, .parse_special = true}));
  const auto shielded =
      tokenizer.encode(tokenizer.shield(text), {.add_bos = false, .parse_special = true});
  require(shielded == ids, "shielded text is plain text");
  return ids;
}

void put(std::vector<std::pair<std::string, GgufValue>>* keys, const char* key, GgufValue value) {
  keys->emplace_back(key, std::move(value));
}

}  // namespace

void run_spm(std::string_view input) {
  const auto ids = encode_all(spm(), input);
  std::string expected(input);
  for (size_t at; (at = expected.find("\xE2\x96\x81")) != std::string::npos;) {
    expected.replace(at, 3, " ");
  }
  require(spm().decode(ids) == expected, "text comes back, U+2581 as a space");
}

void run_bpe(std::string_view input) {
  Feed feed(input);
  const Tokenizer& tokenizer = bpe(feed.byte());
  const auto ids = encode_all(tokenizer, feed.rest());
  require(tokenizer.decode(ids, true) == feed.rest(), "text comes back");
}

std::vector<std::string> text_seeds() {
  return {"the cat sat on the mat. The 1234 cats' 'll don't\n\n  \t x",
          "a\xE2\x96\x81"
          "b <start_of_turn>user\n<|im_end|><user>",
          "\xF0\x9F\x98\x80\xED\xA0\x80\xC0\xAF\xF4\x90\x80\x80\xE4\xBD\xA0\xE5\xA5\xBD",
          "\xFF<eos>\xFF\xFF<|end|>\xEF\xBB\xBF\xC2\xA0\xE3\x80\x80\r\n",
          std::string(100, 'a') + std::string(40, '\n') + std::string(30, '1')};
}

// The first byte chooses family and keys; then tokens, each with its length, kind and score, until
// the text to be encoded.
void run_vocabulary(std::string_view input) {
  Feed feed(input);
  const uint8_t choice = feed.byte();
  const bool byte_level = (choice & 1) != 0;
  GgufArray texts, types, scores, merges;
  texts.type = merges.type = GgufType::kString;
  types.type = GgufType::kInt32;
  scores.type = GgufType::kFloat32;
  for (size_t count = feed.byte(); count > 0 && !feed.empty(); --count) {
    const uint8_t head = feed.byte();
    texts.strings.emplace_back(feed.take(head & 15));
    types.ints.push_back((head >> 4 & 7) + ((choice & 2) != 0 ? 0 : 1));
    scores.floats.push_back(static_cast<int8_t>(feed.byte()));
  }
  for (size_t count = feed.byte() % 32; byte_level && count > 0; --count) {
    merges.strings.emplace_back(feed.take(feed.byte() & 15));
  }
  std::vector<std::pair<std::string, GgufValue>> keys;
  put(&keys, "general.architecture", {GgufType::kString, std::string("llama")});
  put(&keys, "tokenizer.ggml.model",
      {GgufType::kString, std::string(byte_level ? "gpt2" : "llama")});
  if (byte_level) put(&keys, "tokenizer.ggml.pre", {GgufType::kString, std::string("qwen2")});
  put(&keys, "tokenizer.ggml.tokens", {GgufType::kArray, texts});
  if ((choice & 4) == 0) put(&keys, "tokenizer.ggml.token_type", {GgufType::kArray, types});
  if (!byte_level) put(&keys, "tokenizer.ggml.scores", {GgufType::kArray, scores});
  if (byte_level) put(&keys, "tokenizer.ggml.merges", {GgufType::kArray, merges});
  if ((choice & 8) != 0) {
    put(&keys, "tokenizer.ggml.bos_token_id", {GgufType::kUint32, uint64_t{feed.byte()}});
    put(&keys, "tokenizer.ggml.eos_token_id", {GgufType::kUint32, uint64_t{feed.byte()}});
    put(&keys, "tokenizer.ggml.unknown_token_id", {GgufType::kUint32, uint64_t{feed.byte()}});
  }
  if ((choice & 16) != 0) put(&keys, "tokenizer.ggml.add_bos_token", {GgufType::kBool, true});
  if ((choice & 32) != 0) put(&keys, "tokenizer.ggml.add_space_prefix", {GgufType::kBool, true});
  const auto file = GgufFile::assemble("vocabulary", std::move(keys), {}, {});
  const auto tokenizer = Tokenizer::load(file);
  if (!tokenizer) return require_readable(tokenizer.error());
  const auto ids = encode_all(**tokenizer, feed.rest());
  static_cast<void>((*tokenizer)->decode(ids));
  static_cast<void>((*tokenizer)->find(feed.rest()));
}

std::vector<std::string> vocabulary_seeds() {
  std::string spm = {8, 6};
  for (const char* token : {"<unk>", "a", "b", "ab", "<0x0A>", "</s>"}) {
    const std::string text = token;
    spm += static_cast<char>(text.size() | (text[0] == '<' ? 0x20 : 0)) + text + '\1';
  }
  std::string bpe = {1, 5};
  for (const char* token : {"a", "b", "ab", "<|e|>", "c"}) {
    const std::string text = token;
    bpe += static_cast<char>(text.size()) + text + '\1';
  }
  bpe += std::string("\1\3") + "a b";
  return {spm + std::string("\0\0\5\4", 4) + "abab\n</s>", bpe + "abcab"};
}

// Whatever the pieces, the same text comes out, and it is UTF-8.
void run_utf8(std::string_view input) {
  Utf8Stream whole;
  std::string expected = whole.push(input);
  expected += whole.finish();
  Feed feed(input);
  Utf8Stream stream;
  std::string text;
  for (Random random(input.size()); !feed.empty();) {
    text += stream.push(feed.take(1 + random.below(5)));
    std::string_view rest = text;
    uint32_t code_point = 0;
    while (!rest.empty()) {
      const int length = utf8_decode(rest, &code_point);
      require(length > 0, "what a stream gives is UTF-8");
      rest.remove_prefix(static_cast<size_t>(length));
    }
  }
  text += stream.finish();
  require(text == expected, "pieces give the same text");
  std::string valid;
  for (std::string_view rest = input; !rest.empty();) {
    uint32_t code_point = 0;
    const int length = utf8_decode(rest, &code_point);
    if (length == 0) return;
    utf8_append(code_point, &valid);
    rest.remove_prefix(static_cast<size_t>(length));
  }
  require(valid == input && text == input, "what is UTF-8 stays as it is");
}

}  // namespace nibble::fuzz
