#include "tools/nibble/text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

Result<std::string> read_all(int fd, const std::string& what, size_t mebibytes_max) {
  std::string text;
  std::vector<char> chunk(1 << 16);
  while (true) {
    if (!wait_for_input(fd)) {
      if (signal_exit_code() != 0) return Error{ErrorCode::kInterrupted, "interrupted"};
      continue;
    }
    const ssize_t got = read(fd, chunk.data(), chunk.size());
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return Error{ErrorCode::kNoInput, "cannot read " + what + ": " + std::strerror(errno)};
    }
    text.append(chunk.data(), static_cast<size_t>(got));
    if (text.size() > mebibytes_max << 20) {
      return Error{ErrorCode::kUsage, what + " has more than " + std::to_string(mebibytes_max) +
                                          " MiB, which is too long a text"};
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

Result<std::string> read_text(const std::string& path, size_t mebibytes_max) {
  if (path == "-") return read_all(STDIN_FILENO, "standard input", mebibytes_max);
  // Waits for a writer if it is a FIFO: <(command) is meant to work.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (signal_exit_code() != 0) return Error{ErrorCode::kInterrupted, "interrupted"};
    const ErrorCode code = errno == EACCES ? ErrorCode::kPermission : ErrorCode::kNoInput;
    return Error{code, "cannot open the text file " + path + ": " + std::strerror(errno)};
  }
  Result<std::string> text = read_all(fd, path, mebibytes_max);
  close(fd);
  return text;
}

}  // namespace nibble::cli
