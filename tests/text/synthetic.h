// Small vocabularies for tests, written as GGUF files and loaded as any other.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/file/gguf.h"
#include "runtime/file/gguf_writer.h"
#include "runtime/text/tokenizer.h"

namespace nibble::testing {

struct Token {
  std::string text;
  int32_t type = 1;  // 1 normal, 2 unknown, 3 control, 4 user-defined, 6 byte
  float score = 0;
};

using Keys = std::function<void(GgufWriter*)>;

// Writes a file with the keys that `add` adds, and loads its tokenizer.
inline Result<std::shared_ptr<const Tokenizer>> load_keys(const Keys& add) {
  const std::string path =
      ::testing::TempDir() + "nibble_vocabulary_" + std::to_string(getpid()) + ".gguf";
  GgufWriter writer;
  add(&writer);
  NIBBLE_TRY_VOID(writer.create(path));
  NIBBLE_TRY_VOID(writer.commit());
  auto file = GgufFile::open(path);
  std::remove(path.c_str());
  if (!file) return file.error();
  return Tokenizer::load(*file);
}

inline void add_tokens(GgufWriter* writer, const std::vector<Token>& tokens) {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
  for (const Token& token : tokens) {
    texts.push_back(token.text);
    types.push_back(token.type);
  }
  writer->add_strings("tokenizer.ggml.tokens", texts);
  writer->add_int32s("tokenizer.ggml.token_type", types);
}

inline void add_scores(GgufWriter* writer, const std::vector<Token>& tokens) {
  std::vector<float> scores;
  for (const Token& token : tokens) scores.push_back(token.score);
  writer->add_float32s("tokenizer.ggml.scores", scores);
}

// A SentencePiece vocabulary with `more` keys.
inline Result<std::shared_ptr<const Tokenizer>> load_spm(
    const std::vector<Token>& tokens, const Keys& more = [](GgufWriter*) {},
    const std::string& architecture = "gemma3") {
  return load_keys([&](GgufWriter* writer) {
    writer->add_string("general.architecture", architecture);
    writer->add_string("tokenizer.ggml.model", "llama");
    add_tokens(writer, tokens);
    add_scores(writer, tokens);
    more(writer);
  });
}

// A byte-level vocabulary: `tokens`, merged by `merges`.
inline Result<std::shared_ptr<const Tokenizer>> load_bpe(
    const std::vector<Token>& tokens, const std::vector<std::string>& merges,
    const std::string& pre = "gpt-2", const Keys& more = [](GgufWriter*) {}) {
  return load_keys([&](GgufWriter* writer) {
    writer->add_string("general.architecture", "llama");
    writer->add_string("tokenizer.ggml.model", "gpt2");
    writer->add_string("tokenizer.ggml.pre", pre);
    add_tokens(writer, tokens);
    writer->add_strings("tokenizer.ggml.merges", merges);
    more(writer);
  });
}

// <pad> 0, <eos> 1, <bos> 2, <unk> 3, <start_of_turn> 4, <end_of_turn> 5, then the 256 bytes from
// 6, then `more` with falling scores.
inline std::vector<Token> spm_tokens(const std::vector<std::string>& more) {
  std::vector<Token> tokens = {{"<pad>", 3}, {"<eos>", 3},           {"<bos>", 3},
                               {"<unk>", 2}, {"<start_of_turn>", 3}, {"<end_of_turn>", 3}};
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", byte);
    tokens.push_back({text, 6});
  }
  for (const std::string& text : more) {
    tokens.push_back({text, 1, -static_cast<float>(tokens.size())});
  }
  return tokens;
}
inline constexpr int32_t kSpmByte = 6;    // id of byte 0
inline constexpr int32_t kSpmMore = 262;  // id of the first of `more`

inline void special_ids(GgufWriter* writer) {
  writer->add_uint32("tokenizer.ggml.bos_token_id", 2);
  writer->add_uint32("tokenizer.ggml.eos_token_id", 1);
  writer->add_uint32("tokenizer.ggml.unknown_token_id", 3);
}

// The 256 bytes in GPT-2's alphabet, id = byte, then `more`.
inline std::vector<Token> bpe_tokens(const std::vector<Token>& more) {
  std::vector<Token> tokens;
  uint32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool prints = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
    const uint32_t c = prints ? byte : next++;
    const char text[] = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    tokens.push_back({c < 128 ? std::string(1, static_cast<char>(c)) : std::string(text, 2)});
  }
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

}  // namespace nibble::testing
