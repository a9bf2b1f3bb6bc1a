// What is fuzzed: each target takes any bytes as an input that a stranger could give, and ends the
// process if the code under it breaks a promise. A wrong input must give an error that a person can
// read, never a crash, a hang or memory without bound; where more is promised (round trips, the
// same result however the bytes arrive) the target checks that as well.
//
// One table serves both programs: libfuzzer.cpp searches with coverage (tools/dev fuzz),
// regression.cpp repeats what is known, the same every time (ctest). A target is a function in
// *_target.cpp and a row in targets.cpp. Read next: targets.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"

namespace nibble::fuzz {

// splitmix64 (Steele, Lea, Flood 2014): the same numbers everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }
  size_t below(size_t n) { return n == 0 ? 0 : static_cast<size_t>(next() % n); }

 private:
  uint64_t state_;
};

struct Target {
  const char* name;
  void (*run)(std::string_view input);
  std::vector<std::string> (*seeds)();
  int iterations;         // of the regression run
  size_t longest = 4096;  // bytes of an input
  // Changes an input whose structure it knows; null where bytes are enough.
  std::string (*mutate)(std::string_view input, Random& random) = nullptr;
};

std::span<const Target> all_targets();
const Target* find_target(std::string_view name);

// Ends the process, saying what was promised, unless it is so.
void require(bool promised, const char* what);
// The error is one of input, and its message no longer than a person reads.
void require_readable(const Error& error);

// A file with these bytes, in memory where the system has such files.
class InputFile {
 public:
  explicit InputFile(std::string_view bytes);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  int fd_ = -1;
  bool on_disk_ = false;
  std::string path_;
};

// Takes an input apart into choices; zeros when it is used up.
class Feed {
 public:
  explicit Feed(std::string_view bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::string_view take(size_t bytes) {
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace nibble::fuzz
