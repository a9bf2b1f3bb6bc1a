// A file that appears whole or not at all: written beside its place, synchronised, then renamed.
//
// Without commit() the destructor removes what was written and an older file of that name stays as
// it was. Read next: gguf_writer.h.
#pragma once

#include <cstdint>
#include <string>

#include "nibble/result.h"

namespace nibble {

class AtomicFile {
 public:
  // Errors: 73 the file cannot be made there (or something that is not a file has that name); 77 no
  // permission.
  static Result<AtomicFile> create(const std::string& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  // Makes the file `bytes` long, zeroed, and takes the space from the disk where the file system
  // can, so that a full disk is noticed before the work. Error 74.
  Result<void> reserve(uint64_t bytes) const;
  // Thread-safe for ranges that do not overlap. Error 74.
  Result<void> write(uint64_t offset, const void* data, size_t bytes) const;
  // Puts the file in its place; nothing may be written afterwards. Error 74.
  Result<void> commit();

 private:
  AtomicFile(std::string path, std::string temporary, int fd);
  Error failed(const char* doing, int error) const;

  std::string path_;
  std::string temporary_;  // empty: nothing to remove
  int fd_ = -1;
};

}  // namespace nibble
