// What the pre-tokenisers' published patterns ask of a code point (Unicode 14.0).
//
// The table is made by tools/unicode_tables.pl, so nothing is looked up in a library or locale at
// run time.
#pragma once

#include <cstdint>

namespace nibble {

// kLetter: general category L*; kNumber: N*; kSpace: property White_Space; kOther: all else, also
// values that are no code point.
enum class CharClass : uint8_t { kOther = 0, kLetter = 1, kNumber = 2, kSpace = 3 };

// Where in a word like "Word" a character may stand: its capital part (general categories Lu, Lt,
// Lm, Lo, M*), its small part (Ll, Lm, Lo, M*), or neither. What has no case may stand in both.
struct CharProperties {
  CharClass kind = CharClass::kOther;
  bool capital = false;
  bool small = false;
};

CharProperties char_properties(uint32_t code_point);

}  // namespace nibble
