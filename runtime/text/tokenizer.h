// Text to token ids and back, from the vocabulary in a GGUF file.
//
// Two families: SentencePiece-style BPE with byte fallback ("llama": Gemma, Llama 2) and byte-level
// BPE ("gpt2": Llama 3, Qwen, SmolLM) with its pre-tokenisers. Any bytes go in; decoding the ids
// gives them back, but for what the vocabulary itself cannot tell: SentencePiece writes a space as
// U+2581, so that one comes back as a space, and a vocabulary may lack bytes (see notes()).
// Immutable and thread-safe after load(). Sources: SentencePiece (Kudo & Richardson 2018), GPT-2
// (Radford 2019). Read next: vocabulary_tokenizer.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"

namespace nibble {

class GgufFile;

struct EncodeOptions {
  // Only where the model wants it (add_bos_token and its defaults), and not a second one where
  // parse_special finds that the text begins with it.
  bool add_bos = true;
  bool parse_special = false;  // control tokens written as text become those tokens
};

class Tokenizer {
 public:
  static Result<std::shared_ptr<const Tokenizer>> load(const GgufFile& file);
  virtual ~Tokenizer() = default;

  // Appends nothing but what the text and the options ask for. Linear or n log n in its length.
  virtual std::vector<int32_t> encode(std::string_view text,
                                      const EncodeOptions& options) const = 0;

  // The bytes a token stands for; may be a part of a UTF-8 character. Control tokens give an empty
  // text unless `special`.
  virtual std::string_view piece(int32_t id, bool special = false) const = 0;

  // Pieces joined, without the spaces that encode adds (adds_space_prefix) at the start and after
  // special tokens.
  virtual std::string decode(const std::vector<int32_t>& ids, bool special = false) const = 0;

  // Marks every control token written in `text` so that encode(parse_special) takes it as plain
  // text: for what a user typed, before it goes through a chat template. Nothing is lost: encode
  // removes the marks (byte 0xFF; a 0xFF in the text itself is doubled).
  virtual std::string shield(std::string_view text) const = 0;

  size_t vocabulary_size() const { return vocabulary_size_; }
  int32_t bos() const { return bos_; }  // -1: none
  int32_t eos() const { return eos_; }
  bool adds_bos() const { return adds_bos_; }
  bool adds_space_prefix() const { return adds_space_prefix_; }
  // Every token that ends a turn: eos, eot, and those known by their text (<end_of_turn>,
  // <|eot_id|>, <|im_end|>, <|end|>, ...) whatever the metadata says.
  const std::vector<int32_t>& end_tokens() const { return end_tokens_; }
  bool is_end(int32_t id) const;
  // Id of a token by the bytes it stands for (" the", "<eos>", for a byte token "<0x0A>"), or -1.
  virtual int32_t find(std::string_view text) const = 0;
  const std::vector<std::string>& notes() const { return notes_; }  // corrections made at load

 protected:
  size_t vocabulary_size_ = 0;
  int32_t bos_ = -1;
  int32_t eos_ = -1;
  bool adds_bos_ = false;
  bool adds_space_prefix_ = false;
  std::vector<int32_t> end_tokens_;
  std::vector<std::string> notes_;
};

}  // namespace nibble
