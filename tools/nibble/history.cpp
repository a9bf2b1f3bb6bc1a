#include "tools/nibble/history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace nibble::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLinesKept = 1000;
constexpr size_t kLinesMax = 4000;  // when the file is shortened

fs::path state_folder() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state != '\0') return fs::path(state) / "nibble";
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return fs::path(home) / ".local/state/nibble";
  return {};
}

// Readable by its owner only: conversations are private. -1: cannot be had.
int open_to_append(const std::string& path) {
  return open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600);
}

bool append_text(int fd, const std::string& text) {
  return write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

}  // namespace

HistoryFile::HistoryFile() {
  const fs::path folder = state_folder();
  if (folder.empty()) return;
  std::error_code error;
  fs::create_directories(folder, error);
  fs::permissions(folder, fs::perms::owner_all, error);
  const std::string path = folder / "history";
  fd_ = open_to_append(path);
  if (fd_ >= 0 && fs::is_regular_file(path, error)) path_ = path;
}

HistoryFile::~HistoryFile() {
  if (fd_ >= 0) close(fd_);
}

std::vector<std::string> HistoryFile::load() {
  std::vector<std::string> lines;
  std::ifstream file(path_);
  for (std::string line; !path_.empty() && std::getline(file, line);) lines.push_back(line);
  const size_t all = lines.size();
  if (all > kLinesKept) lines.erase(lines.begin(), lines.end() - kLinesKept);
  if (all > kLinesMax) {
    const std::string fresh = path_ + "." + std::to_string(getpid());
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    const int fd = open_to_append(fresh);
    if (fd >= 0 && append_text(fd, text) && std::rename(fresh.c_str(), path_.c_str()) == 0) {
      close(std::exchange(fd_, fd));
    } else if (fd >= 0) {
      close(fd);
      unlink(fresh.c_str());
    }
  }
  return lines;
}

void HistoryFile::append(const std::string& line) const {
  if (!path_.empty()) append_text(fd_, line + "\n");
}

}  // namespace nibble::cli
