// Text for error messages: concat("key ", quoted(name), " at byte ", 12).
#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace nibble {

inline void append_part(std::string* text, std::string_view part) {
  text->append(part);
}
inline void append_part(std::string* text, std::integral auto number) {
  text->append(std::to_string(number));
}

template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  (append_part(&text, parts), ...);
  return text;
}

// A name from a file, safe to print: 'name' with control and non-ASCII bytes as \xNN, cut after 80
// bytes.
std::string quoted(std::string_view name);

}  // namespace nibble
