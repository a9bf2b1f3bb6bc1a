// GGUF files byte by byte, right and wrong ones, and files on disk that remove themselves.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/file/gguf.h"

namespace nibble::gguf_test {

template <typename T>
std::string number(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

inline std::string text(std::string_view value) {
  return number<uint64_t>(value.size()) + std::string(value);
}

// A metadata entry; `value` is its encoded value.
inline std::string entry(std::string_view key, uint32_t type, const std::string& value) {
  return text(key) + number(type) + value;
}

inline std::string entry_u32(std::string_view key, uint32_t value) {
  return entry(key, 4, number(value));
}

inline std::string array(uint32_t type, uint64_t count, const std::string& items) {
  return number(type) + number(count) + items;
}

inline std::string tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                          uint64_t offset) {
  std::string bytes = text(name) + number(static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) bytes += number(dim);
  return bytes + number(type) + number(offset);
}

inline std::string header(uint32_t version, uint64_t tensors, uint64_t keys) {
  return "GGUF" + number(version) + number(tensors) + number(keys);
}

// A whole v3 file: entries, tensor table, padding to `alignment`, `data_bytes` of data.
inline std::string file(const std::vector<std::string>& entries,
                        const std::vector<std::string>& tensors, size_t data_bytes,
                        size_t alignment = 32) {
  std::string bytes = header(3, tensors.size(), entries.size());
  for (const std::string& item : entries) bytes += item;
  for (const std::string& item : tensors) bytes += item;
  if (!tensors.empty()) bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
  return bytes + std::string(data_bytes, '\x01');
}

// A folder for one test, removed with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path(std::string_view name) const { return folder_ + "/" + std::string(name); }
  std::string write(std::string_view name, std::string_view bytes) const;
  size_t files() const;

 private:
  std::string folder_;
};

// Opens a file with these bytes and expects it to be refused within a second, with this code and a
// message that holds the file's name and each of `parts`.
void expect_refused(std::string_view bytes, ErrorCode code, std::vector<std::string> parts);
void expect_path_refused(const std::string& path, ErrorCode code,
                         const std::vector<std::string>& parts);

// Processor time of this program: what a busy machine does not change.
double cpu_seconds();
// Limits on it are multiplied by this.
#if defined(NIBBLE_SANITIZED)
inline constexpr double kSlowness = 20;
#else
inline constexpr double kSlowness = 1;
#endif

// Bytes on the heap now, and at most since the last reset. Counts operator new only.
uint64_t heap_bytes();
uint64_t heap_peak_bytes();
void reset_heap_peak();

}  // namespace nibble::gguf_test
