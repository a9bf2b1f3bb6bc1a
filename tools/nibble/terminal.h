// What commands draw: a progress bar and tables.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace nibble::cli {

// A bar on stderr for work that turns out to take more than a second; nothing when stderr is not a
// terminal. Erased by the destructor.
class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ~ProgressBar();
  void update(double fraction);

 private:
  std::string label_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_;
};

// Lines up rows of cells: the first column to the left, the others to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> header);
  void add(std::vector<std::string> row);
  std::string text() const;  // with a line below the header

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Columns that `text` (UTF-8) takes, one for each character.
size_t columns(const std::string& text);

}  // namespace nibble::cli
