// Finds control tokens and user-defined tokens in a text, and shields a user's text from them.
//
// Immutable and thread-safe; refers to the vocabulary, which must outlive it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/vocabulary.h"

namespace nibble {

class SpecialTokens {
 public:
  // Longer ones are not looked for: no real one comes near, and a hostile file could make every
  // position of a text cost as much.
  static constexpr size_t kLongest = 256;

  explicit SpecialTokens(const Vocabulary& vocabulary);

  struct Match {
    size_t begin = 0;  // offset in the text; its size when there is none
    size_t length = 0;
    int32_t id = -1;
  };
  // The first user-defined token at or after `from`, the longest there. With `controls`, control
  // and unknown tokens too, but for those that would hold an offset of `barriers` (ascending).
  Match next(std::string_view text, size_t from, bool controls,
             const std::vector<size_t>& barriers) const;

  // The control, unknown or user-defined token with this text, or -1.
  int32_t find(std::string_view text) const;

  // See Tokenizer::shield.
  std::string shield(std::string_view text) const;
  // Takes the marks out again and gives the offsets they stood before, ascending.
  static std::string unshield(std::string_view text, std::vector<size_t>* barriers);

 private:
  // Tokens [begin, end) of ids_.
  struct Range {
    size_t begin, end;
    bool empty() const { return begin == end; }
  };
  Range narrow(Range range, size_t depth, char byte) const;
  bool starts_control(std::string_view text) const;

  const Vocabulary& vocabulary_;
  std::vector<int32_t> ids_;       // by text
  std::vector<Range> first_byte_;  // [256]
  bool user_defined_ = false;      // there are any
};

}  // namespace nibble
