// Cuts a text into the words within which byte-level BPE merges.
//
// Each rule is published as a regular expression; here they are written out by hand over code
// points: linear time, no recursion. Bytes that are not UTF-8 count as one symbol character each.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "nibble/result.h"

namespace nibble {

enum class PreTokenizer {
  // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  kGpt2,
  // Every \p{N} alone, what is between them by kGpt2.
  kSmolLm,
  // (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
  // \s*[\r\n]+|\s+(?!\S)|\s+
  kLlama3,
  // The same with \p{N} for \p{N}{1,3}.
  kQwen2,
  // [^\r\n\p{L}\p{N}]?C*S+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
  // [^\r\n\p{L}\p{N}]?C+S*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
  // \p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
  // with C for [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and S for [\p{Ll}\p{Lm}\p{Lo}\p{M}].
  kGpt4o,
  // The same without the contractions and with \p{N} for \p{N}{1,3}.
  kTekken,
};

// What a value of tokenizer.ggml.pre means.
struct PreTokenizerRule {
  PreTokenizer kind = PreTokenizer::kGpt2;
  bool adds_bos = false;     // where the file does not say
  bool whole_words = false;  // a word that is a token is not merged (ignore_merges)
};

// Error 65 for an unknown name, with the known ones.
Result<PreTokenizerRule> find_pre_tokenizer(std::string_view name);

// The end of the word that begins at `at` (below the text's size): at least at + 1.
size_t next_word(PreTokenizer kind, std::string_view text, size_t at);

}  // namespace nibble
