// UTF-8, checked: decoding for tokenizers, and a stream that never emits half a character.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nibble {

// Length in bytes of the valid UTF-8 character at the start of `text` (1..4), 0 when the bytes are
// not valid (overlong, surrogate, stray or cut). `code_point` gets its value.
int utf8_decode(std::string_view text, uint32_t* code_point);

// Appends a code point (<= 0x10FFFF) as UTF-8.
void utf8_append(uint32_t code_point, std::string* out);

// Collects bytes and gives out whole characters only. Bytes that can never become a character come
// out as U+FFFD, once per maximal bad part (Unicode 15, section 3.9).
class Utf8Stream {
 public:
  // Takes bytes, returns what is complete now.
  std::string push(std::string_view bytes);
  // What is left at the end, bad parts replaced.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace nibble
