// Cycles of the calling thread: real ones from the kernel's perf events where it allows them, else
// the ticks of the processor's reference clock (TSC, CNTVCT), else none.
#pragma once

#include <string>

namespace nibble {

class CycleCounter {
 public:
  // `threads`: perf events count one thread only; with more the reference clock is taken.
  explicit CycleCounter(int threads);
  ~CycleCounter();
  CycleCounter(const CycleCounter&) = delete;
  CycleCounter& operator=(const CycleCounter&) = delete;

  // What is counted: "cycles", "tsc", "cntvct"; empty: nothing.
  const std::string& unit() const { return unit_; }
  // One line for people: "perf events", "tsc at 2.60 GHz; perf events: No such file or directory".
  const std::string& about() const { return about_; }

  struct Counts {
    double cycles = 0;        // of all threads
    double instructions = 0;  // 0: not counted
  };
  void start();
  // Since start(); `seconds` is the time of it, from which the reference clock's ticks follow: so
  // time in which the thread did not run does not count.
  Counts stop(double seconds);

 private:
  bool open_events();

  int threads_;
  int cycles_fd_ = -1;
  int instructions_fd_ = -1;
  double ticks_per_second_ = 0;
  std::string unit_;
  std::string about_;
};

}  // namespace nibble
