// A reading position in the header of a GGUF file that cannot leave it.
//
// Every byte is copied out of the mapping once, and what was copied is what is checked and used.
// Memory for what is read is charged against a budget before it is allocated. Not thread-safe.
// Read next: gguf_part.cpp.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "nibble/result.h"

namespace nibble {

static_assert(std::endian::native == std::endian::little, "GGUF is read without swapping bytes");

// The header may take as much memory as its file is long and this more.
inline constexpr uint64_t kGgufHeaderMargin = uint64_t{64} << 20;

// Charged for each key and tensor beside its own size, which counts twice because vectors double.
inline constexpr uint64_t kGgufIndexBytes = 24;

class GgufCursor {
 public:
  // `path` and `data` must outlive the cursor.
  GgufCursor(const std::string& path, const uint8_t* data, uint64_t size);

  uint64_t position() const { return position_; }
  uint64_t size() const { return size_; }

  // What is being read, for messages: "key 'general.name'".
  void set_context(std::string context) { context_ = std::move(context); }

  // Error 65 that starts with the file's name and the context.
  Error error(std::string_view what) const;

  // Error 65 unless `count` items of at least `item_bytes` each are left.
  Result<void> need(uint64_t count, uint64_t item_bytes) const;

  // Error 65 when the header would take more than its budget of memory.
  Result<void> charge(uint64_t count, uint64_t item_bytes);

  template <typename T>
  Result<T> read() {
    NIBBLE_TRY_VOID(need(1, sizeof(T)));
    T value;
    std::memcpy(&value, data_ + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  // A string with its length before it; error when it is longer than `longest` bytes.
  Result<std::string> read_string(uint64_t longest = UINT64_MAX);

 private:
  const std::string& path_;
  const uint8_t* data_;
  uint64_t size_;
  uint64_t position_ = 0;
  uint64_t budget_;
  std::string context_ = "the header";
};

}  // namespace nibble
