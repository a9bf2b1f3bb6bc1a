#include "runtime/file/concat.h"

#include <cstddef>

namespace nibble {

std::string quoted(std::string_view name) {
  constexpr size_t kLongest = 80;
  constexpr char kHex[] = "0123456789abcdef";
  std::string text = "'";
  for (const char c : name.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      text += c;
    } else {
      text += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  text += name.size() > kLongest ? "...'" : "'";
  return text;
}

}  // namespace nibble
