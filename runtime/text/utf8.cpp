#include "runtime/text/utf8.h"

#include "runtime/file/check.h"

namespace nibble {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// The start of a text: a whole character, the longest part that begins one but cannot go on (bad),
// or one that the end of the text cuts.
struct Start {
  enum Kind { kWhole, kBad, kCut } kind;
  int length;
};

// Well-formed sequences by their first byte: Unicode 15, table 3-7. Only the second byte's range
// depends on the first.
Start read_start(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return {Start::kWhole, 1};
  if (first < 0xC2 || first > 0xF4) return {Start::kBad, 1};
  const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  uint8_t low = 0x80, high = 0xBF;
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  for (size_t i = 1; i < length; ++i, low = 0x80, high = 0xBF) {
    if (i == text.size()) return {Start::kCut, static_cast<int>(i)};
    if (byte(i) < low || byte(i) > high) return {Start::kBad, static_cast<int>(i)};
  }
  return {Start::kWhole, static_cast<int>(length)};
}

}  // namespace

int utf8_decode(std::string_view text, uint32_t* code_point) {
  if (text.empty()) return 0;
  const Start start = read_start(text);
  if (start.kind != Start::kWhole) return 0;
  const uint32_t first = static_cast<uint8_t>(text[0]);
  uint32_t value = start.length == 1 ? first : first & (0x7Fu >> start.length);
  for (int i = 1; i < start.length; ++i) value = value << 6 | (text[i] & 0x3F);
  *code_point = value;
  return start.length;
}

void utf8_append(uint32_t code_point, std::string* out) {
  NIBBLE_DCHECK(code_point <= 0x10FFFF);
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
    return;
  }
  if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
  } else {
    if (code_point < 0x10000) {
      put(0xE0 | code_point >> 12);
    } else {
      put(0xF0 | code_point >> 18);
      put(0x80 | (code_point >> 12 & 0x3F));
    }
    put(0x80 | (code_point >> 6 & 0x3F));
  }
  put(0x80 | (code_point & 0x3F));
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const Start start = read_start(rest);
    if (start.kind == Start::kCut) break;
    out += start.kind == Start::kWhole ? rest.substr(0, start.length) : kReplacement;
    rest.remove_prefix(start.length);
  }
  pending_.erase(0, pending_.size() - rest.size());
  return out;
}

std::string Utf8Stream::finish() {
  // push() leaves nothing but one cut character, which is one maximal bad part.
  const bool cut = !pending_.empty();
  pending_.clear();
  return std::string(cut ? kReplacement : "");
}

}  // namespace nibble
