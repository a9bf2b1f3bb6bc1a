// Vocabularies of the size and structure of the real ones, with made-up pieces.
//
// The pieces are all words over a..z in order of length, each with and without a space before it,
// so every piece can be reached by merging a shorter one and a letter.
#include <string>
#include <vector>

#include "tools/nibble/synth.h"

namespace nibble::cli {
namespace {

enum TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct Tokens {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
  void add(std::string text, TokenType type) {
    texts.push_back(std::move(text));
    types.push_back(type);
  }
  size_t size() const { return texts.size(); }
};

std::string repeat(std::string_view text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

// Word number `index` over a..z: a, b, .. z, aa, ab, ..
std::string word(uint64_t index) {
  std::string letters;
  for (uint64_t rest = index + 1; rest > 0; rest = (rest - 1) / 26) {
    letters.insert(letters.begin(), static_cast<char>('a' + (rest - 1) % 26));
  }
  return letters;
}

constexpr uint64_t kLetters = 26;

// Piece number `index`, in two parts that merge into it; `space` is how the vocabulary writes one.
std::pair<std::string, std::string> piece_parts(uint64_t index, const std::string& space) {
  const bool spaced = index % 2 == 0;
  const std::string text = word(index / 2 + (spaced ? 0 : kLetters));  // alone: two letters or more
  const std::string start = text.substr(0, text.size() - 1);
  return {spaced ? space + start : start, text.substr(text.size() - 1)};
}

void add_gemma_special_tokens(bool tiny, Tokens* tokens) {
  tokens->add("<pad>", kControl);
  tokens->add("<eos>", kControl);
  tokens->add("<bos>", kControl);
  tokens->add("<unk>", kUnknown);
  if (!tiny) {
    tokens->add("<mask>", kUserDefined);
    tokens->add("[multimodal]", kUserDefined);
    for (int i = 0; tokens->size() < 105; ++i) {
      tokens->add("<unused" + std::to_string(i) + ">", kUnused);
    }
  }
  tokens->add("<start_of_turn>", kControl);
  tokens->add("<end_of_turn>", kControl);
  if (!tiny) {
    for (size_t n = 1; n <= 31; ++n) tokens->add(repeat("\n", n), kUserDefined);
    for (size_t n = 2; n <= 31; ++n) tokens->add(repeat("\u2581", n), kUserDefined);
    for (int i = 0; tokens->size() < 238; ++i) {
      tokens->add("<tag" + std::to_string(i) + ">", kUserDefined);
    }
  }
  constexpr char kHex[] = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    tokens->add({'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'}, kByte);
  }
}

void add_gemma_vocabulary(const SynthShape& shape, GgufWriter* writer) {
  const std::string space = "\u2581";
  Tokens tokens;
  add_gemma_special_tokens(shape.vocabulary < 1000, &tokens);
  const uint32_t singles = '~' - '!' + 2;  // printable ASCII and the space
  for (uint64_t i = 0; tokens.size() < shape.vocabulary - singles; ++i) {
    const auto [start, last] = piece_parts(i, space);
    tokens.add(start + last, kNormal);
  }
  tokens.add(space, kNormal);
  for (char c = '!'; c <= '~'; ++c) tokens.add({c}, kNormal);
  std::vector<float> scores;
  for (size_t i = 0; i < tokens.size(); ++i) scores.push_back(-static_cast<float>(i));

  writer->add_string("tokenizer.ggml.model", "llama");
  writer->add_string("tokenizer.ggml.pre", "default");
  writer->add_strings("tokenizer.ggml.tokens", tokens.texts);
  writer->add_float32s("tokenizer.ggml.scores", scores);
  writer->add_int32s("tokenizer.ggml.token_type", tokens.types);
  writer->add_uint32("tokenizer.ggml.bos_token_id", 2);
  writer->add_uint32("tokenizer.ggml.eos_token_id", 1);
  writer->add_uint32("tokenizer.ggml.unknown_token_id", 3);
  writer->add_uint32("tokenizer.ggml.padding_token_id", 0);
  writer->add_bool("tokenizer.ggml.add_bos_token", true);
  writer->add_bool("tokenizer.ggml.add_eos_token", false);
  writer->add_bool("tokenizer.ggml.add_space_prefix", false);
}

std::string utf8(uint32_t code_point) {  // below 2048
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xc0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 63))};
}

// The 256 characters that stand for bytes in byte-level BPE (GPT-2): printable ones for
// themselves, then the others as code points from 256, in order of byte.
std::vector<std::string> byte_characters() {
  const auto printable = [](uint32_t byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  };
  std::vector<std::string> characters;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (printable(byte)) characters.push_back(utf8(byte));
  }
  for (uint32_t code = 256; characters.size() < 256; ++code) characters.push_back(utf8(code));
  return characters;
}

// What tells one byte-level vocabulary from another.
struct BpeFamily {
  uint32_t pieces_end;               // id of the first special token
  std::vector<std::string> special;  // after the pieces; the rest of the vocabulary is unused
  uint32_t bos, eos;                 // among the special tokens
  bool adds_bos;
};

BpeFamily bpe_family(const SynthShape& shape) {
  const auto end = [&](uint32_t known) {
    return shape.vocabulary < 1000 ? shape.vocabulary - 16 : known;
  };
  const std::vector<std::string> chat = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  if (shape.pre == "qwen2") return {end(151643), chat, 0, 2, false};
  if (shape.pre == "smollm") return {end(shape.vocabulary - 17), chat, 1, 2, false};
  if (shape.pre == "gpt-4o") {
    return {end(199999),
            {"<|endoftext|>", "<|assistant|>", "<|end|>", "<|user|>", "<|system|>"},
            0,
            2,
            false};
  }
  std::vector<std::string> llama = {"<|begin_of_text|>", "<|end_of_text|>"};
  for (int i = 0; i < 4; ++i) llama.push_back("<|reserved_" + std::to_string(i) + "|>");
  llama.insert(llama.end(),
               {"<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"});
  return {end(shape.vocabulary - 256), llama, 0, 9, true};
}

void add_bpe_vocabulary(const SynthShape& shape, GgufWriter* writer) {
  const std::string space = utf8(0x120);
  const BpeFamily family = bpe_family(shape);
  Tokens tokens;
  std::vector<std::string> merges;
  for (std::string& character : byte_characters()) tokens.add(std::move(character), kNormal);
  for (uint64_t i = 0; tokens.size() < family.pieces_end; ++i) {
    const auto [start, last] = piece_parts(i, space);
    tokens.add(start + last, kNormal);
    merges.push_back(start + " " + last);
  }
  for (const std::string& name : family.special) tokens.add(name, kControl);
  for (int i = 0; tokens.size() < shape.vocabulary; ++i) {
    tokens.add("[PAD" + std::to_string(i) + "]", kUnused);
  }

  writer->add_string("tokenizer.ggml.model", "gpt2");
  writer->add_string("tokenizer.ggml.pre", std::string(shape.pre));
  writer->add_strings("tokenizer.ggml.tokens", tokens.texts);
  writer->add_int32s("tokenizer.ggml.token_type", tokens.types);
  writer->add_strings("tokenizer.ggml.merges", merges);
  writer->add_uint32("tokenizer.ggml.bos_token_id", family.pieces_end + family.bos);
  writer->add_uint32("tokenizer.ggml.eos_token_id", family.pieces_end + family.eos);
  writer->add_bool("tokenizer.ggml.add_bos_token", family.adds_bos);
}

}  // namespace

void add_synth_vocabulary(const SynthShape& shape, GgufWriter* writer) {
  if (shape.pre.empty()) return add_gemma_vocabulary(shape, writer);
  add_bpe_vocabulary(shape, writer);
}

}  // namespace nibble::cli
