// What was typed in chats, a line each, oldest first. Several chats may write at the same time.
#pragma once

#include <string>
#include <vector>

namespace nibble::cli {

class HistoryFile {
 public:
  // Makes the folder if need be, and keeps the file open. Without HOME, or where nothing can be
  // written, it stays silent and keeps nothing.
  HistoryFile();
  ~HistoryFile();
  HistoryFile(const HistoryFile&) = delete;
  HistoryFile& operator=(const HistoryFile&) = delete;

  // The last 1000 lines; also shortens a file that has grown long.
  std::vector<std::string> load();
  void append(const std::string& line) const;

 private:
  std::string path_;  // empty: none
  int fd_ = -1;
};

}  // namespace nibble::cli
