#include "runtime/text/unicode.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace nibble {
namespace {

constexpr uint32_t kChanges[] = {
#include "runtime/text/unicode_tables.inc"
};

constexpr CharClass search(uint32_t code_point) {
  // The last change at or before the code point; `| 3` puts it after its own entry of any class.
  const uint32_t* next =
      std::upper_bound(std::begin(kChanges), std::end(kChanges), code_point << 2 | 3);
  return static_cast<CharClass>(next[-1] & 3);
}

// Most text is ASCII: a table instead of the search.
constexpr auto kAscii = [] {
  std::array<CharClass, 128> classes{};
  for (uint32_t c = 0; c < classes.size(); ++c) classes[c] = search(c);
  return classes;
}();

}  // namespace

CharClass char_class(uint32_t code_point) {
  if (code_point < kAscii.size()) return kAscii[code_point];
  return code_point > 0x10FFFF ? CharClass::kOther : search(code_point);
}

}  // namespace nibble
