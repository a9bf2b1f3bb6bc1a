// Takes the vocabulary out of a GGUF file and checks all that the tokenizers rely on.
//
// Known faults of real files are put right and noted: control tokens and byte tokens with another
// type, tokens with the same text. What cannot be right is an error (65) that names the key.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/gguf.h"
#include "runtime/text/vocabulary.h"

namespace nibble {

enum class VocabularyForm {
  kSentencePiece,  // U+2581 for a space, <0x41> for a byte, merged by score
  kByteLevel,      // each byte a printable character (GPT-2), merged by rank
};

struct LoadedVocabulary {
  Vocabulary vocabulary;
  int32_t bos = -1;  // -1: the model has none
  int32_t eos = -1;
  int32_t unknown = -1;
  std::vector<int32_t> end_tokens;  // ascending
  std::vector<std::string> notes;
};

Result<LoadedVocabulary> load_vocabulary(const GgufFile& file, VocabularyForm form);

// "<0x0A>" gives 10. Exactly two hexadecimal digits; anything else names no byte.
std::optional<uint8_t> byte_token_value(std::string_view text);

// Appends `text`, written in the byte-level alphabet, as the bytes it stands for; characters that
// are not of the alphabet stay as they are.
void append_byte_level(std::string_view text, std::string* out);

inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

// Appends `text` with every U+2581 as a space.
void append_with_spaces(std::string_view text, std::string* out);

}  // namespace nibble
