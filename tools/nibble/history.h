// What was typed in chats, a line each, oldest first. Several chats may write at the same time.
#pragma once

#include <string>
#include <vector>

namespace nibble::cli {

class HistoryFile {
 public:
  // Makes the folder if need be. Without HOME, or where nothing can be written, it stays silent and
  // keeps nothing.
  HistoryFile();

  // The last 1000 lines; also shortens a file that has grown long.
  std::vector<std::string> load() const;
  void append(const std::string& line) const;

 private:
  std::string path_;  // empty: none
};

}  // namespace nibble::cli
