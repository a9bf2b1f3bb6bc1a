// A lock that is given in the order in which it was asked for.
#include "runtime/machine/turns.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace nibble {
namespace {

TEST(Turns, WhoAsksAgainComesBehindThoseWhoWait) {
  Turns turns;
  std::atomic<int> mine{0};
  std::atomic<bool> over{false};
  turns.lock();
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) {
      const std::lock_guard lock(turns);
      ++mine;
    }
    over = true;
  });
  // Once the other waits it comes whenever this one lets go.
  while (mine == 0) {
    turns.unlock();
    turns.lock();
  }
  int held = 0;
  while (!over) {
    turns.unlock();
    turns.lock();
    ++held;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the other asks meanwhile
  }
  turns.unlock();
  other.join();
  EXPECT_EQ(mine, 100);
  EXPECT_LE(held, 200);
}

}  // namespace
}  // namespace nibble
