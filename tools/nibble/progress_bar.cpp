#include "tools/nibble/progress_bar.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace nibble::cli {

using Clock = std::chrono::steady_clock;

ProgressBar::ProgressBar(std::string label)
    : label_(std::move(label)), terminal_(isatty(STDERR_FILENO) == 1), start_(Clock::now()) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

void ProgressBar::update(double fraction, const std::string& note) {
  constexpr int kCells = 30;
  const auto now = Clock::now();
  if (!terminal_ || now - start_ < std::chrono::seconds(1)) return;
  if (drawn_ && now - last_ < std::chrono::milliseconds(100)) return;
  fraction = std::clamp(fraction, 0.0, 1.0);
  const int filled = static_cast<int>(fraction * kCells);
  const std::string bar = std::string(filled, '#') + std::string(kCells - filled, '.');
  std::fprintf(stderr, "\r%s [%s] %3.0f %% %s\033[K", label_.c_str(), bar.c_str(), 100 * fraction,
               note.c_str());
  std::fflush(stderr);
  drawn_ = true;
  last_ = now;
}

}  // namespace nibble::cli
