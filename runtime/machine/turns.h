// A lock whose holders come in the order in which they asked. With std::mutex whoever lets go and
// takes again at once is nearly always served before those who sleep: a model that is being loaded,
// slice by slice, would hold up the others' steps until it is done.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace nibble {

// For std::lock_guard and std::unique_lock.
class Turns {
 public:
  void lock() {
    std::unique_lock lock(mutex_);
    const uint64_t mine = asked_++;
    next_.wait(lock, [&] { return served_ == mine; });
  }
  void unlock() {
    {
      const std::lock_guard lock(mutex_);
      ++served_;
    }
    next_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable next_;
  uint64_t asked_ = 0;
  uint64_t served_ = 0;  // of those who asked
};

}  // namespace nibble
