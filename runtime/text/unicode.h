// Which code points are letters, numbers and white space (Unicode 14.0).
//
// The three classes that the pre-tokenisers' published patterns ask for. The table is made by
// tools/unicode_tables.pl, so nothing is looked up in a library or locale at run time.
#pragma once

#include <cstdint>

namespace nibble {

// kLetter: general category L*; kNumber: N*; kSpace: property White_Space; kOther: all else, also
// values that are no code point.
enum class CharClass : uint8_t { kOther = 0, kLetter = 1, kNumber = 2, kSpace = 3 };

CharClass char_class(uint32_t code_point);

}  // namespace nibble
