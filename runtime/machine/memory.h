// Owned memory: file mappings and page-aligned buffers.
//
// The page size is asked, never assumed (a Raspberry Pi 5 has 16 KiB pages). Not thread-safe for
// writers; const members may be called from any thread. Read next: thread_team.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "nibble/result.h"

namespace nibble {

// Bytes of a page of this system.
size_t page_size_bytes();

// Which file, and which state of it: whatever is written to a file changes one of these.
struct FileStamp {
  uint64_t device = 0, inode = 0, size = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;  // also by a tool that sets the time above; no program can set this one

  bool operator==(const FileStamp&) const = default;
};

// A whole regular file, mapped read-only and private. Unmapped by the destructor. Where the file is
// cut short or its disk fails, reads of what is gone give zeros, and lost() tells (lost_pages.h).
class Mapping {
 public:
  // Errors: 66 for a missing file, a directory, a FIFO or device; 77 no permission; 65 an empty
  // file; 71 when the mapping fails ("need X, allowed Y"). Never blocks on a FIFO.
  static Result<Mapping> open(const std::string& path);

  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

  // Whether `path` names the mapped file, by whatever link.
  bool is_file(const std::string& path) const;

  // When it was mapped.
  const FileStamp& stamp() const { return stamp_; }
  // Whether its path names the same file still, and nobody wrote to it since.
  bool is_unchanged() const;

  // The offset of a page that could not be read; nothing while all reads were good.
  std::optional<uint64_t> lost() const;

  // Drops the pages wholly inside the range from this process (they can be read again).
  void drop(uint64_t offset, uint64_t bytes) const;
  // Asks the system to read the range ahead.
  void will_need(uint64_t offset, uint64_t bytes) const;

 private:
  const uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
  std::string path_;
  FileStamp stamp_;
  int watch_ = -1;
};

// Zeroed, page-aligned anonymous memory; asks for huge pages when it is 4 MiB or larger.
class Buffer {
 public:
  // Error 71 when the system refuses: "need X MiB for WHAT; allowed Y".
  static Result<Buffer> allocate(size_t bytes, const char* what);

  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  template <typename T = uint8_t>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace nibble
