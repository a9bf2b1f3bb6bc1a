#include "runtime/text/unicode.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace nibble {
namespace {

constexpr uint32_t kChanges[] = {
#include "runtime/text/unicode_tables.inc"
};

constexpr CharProperties search(uint32_t code_point) {
  // The last change at or before the code point; `| 15` puts it after its own entry of any kind.
  const uint32_t* next =
      std::upper_bound(std::begin(kChanges), std::end(kChanges), code_point << 4 | 15);
  const uint32_t entry = next[-1];
  return {static_cast<CharClass>(entry & 3), (entry & 4) != 0, (entry & 8) != 0};
}

// Most text is ASCII: a table instead of the search.
constexpr auto kAscii = [] {
  std::array<CharProperties, 128> all{};
  for (uint32_t c = 0; c < all.size(); ++c) all[c] = search(c);
  return all;
}();

}  // namespace

CharProperties char_properties(uint32_t code_point) {
  if (code_point < kAscii.size()) return kAscii[code_point];
  return code_point > 0x10FFFF ? CharProperties() : search(code_point);
}

}  // namespace nibble
