#include "tools/nibble/history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

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

// Readable by its owner only: conversations are private.
bool append_text(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600);
  if (fd < 0) return false;
  const bool ok = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return ok;
}

}  // namespace

HistoryFile::HistoryFile() {
  const fs::path folder = state_folder();
  if (folder.empty()) return;
  std::error_code error;
  fs::create_directories(folder, error);
  fs::permissions(folder, fs::perms::owner_all, error);
  const std::string path = folder / "history";
  if (append_text(path, "") && fs::is_regular_file(path, error)) path_ = path;
}

std::vector<std::string> HistoryFile::load() const {
  std::vector<std::string> lines;
  std::ifstream file(path_);
  for (std::string line; !path_.empty() && std::getline(file, line);) lines.push_back(line);
  const size_t all = lines.size();
  if (all > kLinesKept) lines.erase(lines.begin(), lines.end() - kLinesKept);
  if (all > kLinesMax) {
    const std::string fresh = path_ + "." + std::to_string(getpid());
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    if (!append_text(fresh, text) || std::rename(fresh.c_str(), path_.c_str()) != 0) {
      unlink(fresh.c_str());
    }
  }
  return lines;
}

void HistoryFile::append(const std::string& line) const {
  if (!path_.empty()) append_text(path_, line + "\n");
}

}  // namespace nibble::cli
