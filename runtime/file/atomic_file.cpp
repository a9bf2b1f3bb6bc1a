#include "runtime/file/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/file/check.h"
#include "runtime/file/concat.h"

namespace nibble {
namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return path.substr(0, std::max<size_t>(slash, 1));
}

Error cannot_create(const std::string& path, int error) {
  const bool denied = error == EACCES || error == EPERM;
  return {denied ? ErrorCode::kPermission : ErrorCode::kCannotCreate,
          concat(path, ": cannot be created: ", std::strerror(error),
                 "; choose another place for the output")};
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::string& path) {
  struct stat status {};
  // Renaming over a device would replace it.
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kCannotCreate,
                 concat(path, ": is there and is not a regular file; choose another output")};
  }
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string temporary = concat(path, ".", getpid(), "-", attempt, ".tmp");
    const int fd = open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return AtomicFile(path, std::move(temporary), fd);
    if (errno != EEXIST) return cannot_create(path, errno);
  }
  return cannot_create(path, EEXIST);
}

AtomicFile::AtomicFile(std::string path, std::string temporary, int fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(fd_, other.fd_);
  return *this;
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

Error AtomicFile::failed(const char* doing, int error) const {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return {ErrorCode::kIo,
          concat(path_, ": ", doing, " failed: ", std::strerror(error),
                 full ? "; free some space or choose another disk" : "; nothing was kept of it")};
}

Result<void> AtomicFile::reserve(uint64_t bytes) const {
  if (bytes > INT64_MAX) return failed("reserving space", EFBIG);
  int error = 0;
  do {
    error = fallocate(fd_, 0, 0, static_cast<off_t>(std::max<uint64_t>(bytes, 1))) ? errno : 0;
  } while (error == EINTR);
  if (error != 0 && error != EOPNOTSUPP && error != ENOSYS) return failed("reserving space", error);
  if (ftruncate(fd_, static_cast<off_t>(bytes)) != 0) return failed("reserving space", errno);
  return {};
}

Result<void> AtomicFile::write(uint64_t offset, const void* data, size_t bytes) const {
  const auto* from = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const ssize_t done = pwrite(fd_, from, bytes, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return failed("writing", errno);
    from += done;
    offset += static_cast<uint64_t>(done);
    bytes -= static_cast<size_t>(done);
  }
  return {};
}

Result<void> AtomicFile::commit() {
  NIBBLE_CHECK(fd_ >= 0);
  if (fsync(fd_) != 0) return failed("writing", errno);
  if (close(std::exchange(fd_, -1)) != 0) return failed("writing", errno);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return failed("renaming", errno);
  temporary_.clear();
  // The name is on the disk when its folder is; not every file system can do it, and none needs to.
  const int folder = open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
  return {};
}

}  // namespace nibble
