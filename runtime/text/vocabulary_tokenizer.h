// What both families of tokenizers share: special tokens, BOS, words remembered, decoding.
//
// A text is cut at special tokens, what is between them into words, and each word is given to the
// family (spm.cpp, bpe.cpp). Immutable and thread-safe after load.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/merge.h"
#include "runtime/text/special_tokens.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/vocabulary.h"
#include "runtime/text/vocabulary_load.h"

namespace nibble {

class VocabularyTokenizer : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override;
  std::string_view piece(int32_t id, bool special) const override;
  std::string decode(const std::vector<int32_t>& ids, bool special) const override;
  std::string shield(std::string_view text) const override;
  int32_t find(std::string_view text) const override;

 protected:
  explicit VocabularyTokenizer(LoadedVocabulary loaded);

  // The end of the word that begins at `at`: nothing merges across it.
  virtual size_t word_end(std::string_view text, size_t at) const = 0;
  // Appends the tokens of a word (1 .. 2^30 bytes).
  virtual void encode_word(std::string_view word, Merger* merger,
                           std::vector<int32_t>* out) const = 0;
  // Whether the family writes a space as U+2581, so that both are one to it.
  virtual bool marks_spaces() const = 0;

  // Appends the tokens for a symbol that has none: its bytes', else the unknown token.
  void append_bytes(std::string_view bytes, std::vector<int32_t>* out) const;

  const Vocabulary vocabulary_;
  const int32_t unknown_;
  bool strips_after_markers_ = false;  // white space behind control tokens is no text (Phi 3)

 private:
  struct Work {
    WordCache cache;
    Merger merger;
    std::vector<int32_t> ids;
  };
  void encode_plain(std::string_view text, Work* work) const;

  const SpecialTokens special_;
};

// The two families. `adds_bos` and `adds_space_prefix` of Tokenizer are set by these.
Result<std::shared_ptr<const Tokenizer>> load_spm(const GgufFile& file);
Result<std::shared_ptr<const Tokenizer>> load_bpe(const GgufFile& file);

}  // namespace nibble
