#include "runtime/file/gguf_cursor.h"

#include "runtime/file/check.h"
#include "runtime/file/concat.h"

namespace nibble {

GgufCursor::GgufCursor(const std::string& path, const uint8_t* data, uint64_t size)
    : path_(path), data_(data), size_(size), budget_(size + kGgufHeaderMargin) {}

Error GgufCursor::error(std::string_view what) const {
  return {ErrorCode::kData, concat(path_, ": ", context_, ": ", what)};
}

Result<void> GgufCursor::need(uint64_t count, uint64_t item_bytes) const {
  const auto bytes = checked_mul(count, item_bytes);
  const auto end = bytes ? checked_add(position_, *bytes) : std::nullopt;
  if (!end) {
    return error(concat("a count of ", count, " before byte ", position_,
                        " is impossible; the file is damaged, download it again"));
  }
  if (*end <= size_) return {};
  return error(concat("at byte ", position_, " the file needs at least ", *end, " bytes, has ",
                      size_, "; the download is incomplete, download it again"));
}

Result<void> GgufCursor::charge(uint64_t count, uint64_t item_bytes) {
  const auto bytes = checked_mul(count, item_bytes);
  if (!bytes || *bytes > budget_) {
    return error(concat("at byte ", position_, " the header needs more memory than ",
                        size_ + kGgufHeaderMargin,
                        " bytes (the file's size and 64 MiB); it is damaged or not a model"));
  }
  budget_ -= *bytes;
  return {};
}

Result<std::string> GgufCursor::read_string(uint64_t longest) {
  NIBBLE_TRY(const uint64_t length, read<uint64_t>());
  NIBBLE_TRY_VOID(need(length, 1));
  if (length > longest) {
    return error(concat("a name of ", length, " bytes at byte ", position_, "; the longest is ",
                        longest, "; the file is damaged, download it again"));
  }
  constexpr uint64_t kInPlace = 15;    // kept inside std::string
  constexpr uint64_t kHeapBlock = 32;  // the allocator's own bytes and rounding, at most
  if (length > kInPlace) NIBBLE_TRY_VOID(charge(1, length + kHeapBlock));
  std::string text(reinterpret_cast<const char*>(data_ + position_), length);
  position_ += length;
  return text;
}

}  // namespace nibble
