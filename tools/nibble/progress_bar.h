// A progress bar on stderr. Tables are in table.h.
#pragma once

#include <chrono>
#include <string>

namespace nibble::cli {

// A bar on stderr for work that turns out to take more than a second; nothing when stderr is not a
// terminal. Erased by the destructor.
class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ~ProgressBar();
  // `note` stands after the bar.
  void update(double fraction, const std::string& note = {});

 private:
  std::string label_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace nibble::cli
