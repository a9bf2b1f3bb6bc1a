// What the targets share (targets.h).
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets.h"

namespace nibble::fuzz {

void require(bool promised, const char* what) {
  if (promised) return;
  std::fprintf(stderr, "fuzz: not as promised: %s\n", what);
  std::abort();
}

void require_readable(const Error& error) {
  require(error.code != ErrorCode::kInternal, "an input is not a bug of ours");
  require(!error.message.empty(), "an error says what is wrong");
  require(error.message.size() <= 4096, "a message can be read");
}

InputFile::InputFile(std::string_view bytes) {
  fd_ = memfd_create("fuzz", MFD_CLOEXEC);
  path_ = "/proc/self/fd/" + std::to_string(fd_);
  if (fd_ < 0 || access(path_.c_str(), R_OK) != 0) {
    if (fd_ >= 0) close(fd_);
    path_ = "/tmp/nibble-fuzz-XXXXXX";
    fd_ = mkstemp(path_.data());
    on_disk_ = true;
  }
  require(fd_ >= 0 && write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
          "the test can write its input");
}

InputFile::~InputFile() {
  close(fd_);
  if (on_disk_) unlink(path_.c_str());
}

}  // namespace nibble::fuzz
