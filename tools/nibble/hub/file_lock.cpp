#include "tools/nibble/hub/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/file/concat.h"

namespace nibble::hub {

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

FileLock::~FileLock() {
  if (fd_ < 0) return;
  unlink(path_.c_str());  // before others can have it
  close(fd_);
}

Result<FileLock> FileLock::take(const std::string& path, const std::function<bool()>& wait) {
  while (true) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
      const bool denied = errno == EACCES || errno == EPERM || errno == EROFS;
      return Error{denied ? ErrorCode::kPermission : ErrorCode::kCannotCreate,
                   concat(path, ": cannot be made: ", std::strerror(errno),
                          "; NIBBLE_HOME names another place for models")};
    }
    FileLock lock(path, fd);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
      // The holder before us may have removed the file that we opened.
      struct stat opened = {};
      struct stat named = {};
      if (fstat(fd, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
          opened.st_ino == named.st_ino && opened.st_dev == named.st_dev) {
        return lock;
      }
    }
    close(std::exchange(lock.fd_, -1));  // not ours: the file stays
    if (!wait()) return Error{ErrorCode::kInterrupted, "interrupted while another download runs"};
    usleep(50'000);
  }
}

}  // namespace nibble::hub
