// A lock between processes: who downloads a file holds FILE.lock, others wait and then find it
// there. The system releases it when its holder ends, however that happens.
#pragma once

#include <functional>
#include <string>

#include "nibble/result.h"

namespace nibble::hub {

class FileLock {
 public:
  // Waits while another process holds it; `wait` is called each time, false gives up (130). Errors:
  // 73, 77.
  static Result<FileLock> take(const std::string& path, const std::function<bool()>& wait);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();  // and removes the file

 private:
  FileLock(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_ = -1;
};

}  // namespace nibble::hub
