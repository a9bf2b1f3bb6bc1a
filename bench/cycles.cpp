#include "bench/cycles.h"

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace nibble {
namespace {

int open_event(uint64_t what, int group) {
  perf_event_attr event = {};
  event.type = PERF_TYPE_HARDWARE;
  event.size = sizeof(event);
  event.config = what;
  event.disabled = group < 0;
  event.exclude_kernel = 1;  // else it takes more rights
  event.exclude_hv = 1;
  event.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
  return static_cast<int>(syscall(SYS_perf_event_open, &event, 0, -1, group, 0));
}

// Scaled up where the event had to share its counter with others; 0 when it never ran.
double read_event(int fd) {
  uint64_t count[3] = {};  // value, time enabled, time running
  if (fd < 0 || read(fd, count, sizeof(count)) != sizeof(count) || count[2] == 0) return 0;
  return static_cast<double>(count[0]) * static_cast<double>(count[1]) /
         static_cast<double>(count[2]);
}

#if defined(__x86_64__)
constexpr const char* kClock = "tsc";

double seconds_now() {
  timespec time = {};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// The ticks at a moment; tried again when something else ran in between.
uint64_t ticks_at(double* moment) {
  constexpr double kLongest = 2e-6;
  uint64_t ticks = 0;
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const double before = seconds_now();
    ticks = __builtin_ia32_rdtsc();
    *moment = seconds_now();
    if (*moment - before < kLongest) break;
  }
  return ticks;
}

double measure_ticks_per_second() {
  constexpr double kSeconds = 0.01;
  double start = 0, end = 0;
  const uint64_t first = ticks_at(&start);
  while (seconds_now() < start + kSeconds) {
  }
  const uint64_t last = ticks_at(&end);
  return static_cast<double>(last - first) / (end - start);
}
#elif defined(__aarch64__)
constexpr const char* kClock = "cntvct";

double measure_ticks_per_second() {
  uint64_t frequency;
  asm("mrs %0, cntfrq_el0" : "=r"(frequency));
  return static_cast<double>(frequency);
}
#else
constexpr const char* kClock = "";
double measure_ticks_per_second() {
  return 0;
}
#endif

}  // namespace

CycleCounter::CycleCounter(int threads) : threads_(threads) {
  if (open_events()) {
    unit_ = "cycles";
    about_ = "perf events";
    return;
  }
  const std::string why = threads == 1 ? std::string("perf events: ") + std::strerror(errno)
                                       : std::string("perf events count one thread only");
  ticks_per_second_ = measure_ticks_per_second();
  if (ticks_per_second_ <= 0) {
    about_ = "none; " + why;
    return;
  }
  unit_ = kClock;
  char text[32];
  std::snprintf(text, sizeof(text), " at %.3f GHz; ", ticks_per_second_ * 1e-9);
  about_ = unit_ + text + why;
}

CycleCounter::~CycleCounter() {
  if (cycles_fd_ >= 0) close(cycles_fd_);
  if (instructions_fd_ >= 0) close(instructions_fd_);
}

bool CycleCounter::open_events() {
  if (threads_ != 1) return false;
  cycles_fd_ = open_event(PERF_COUNT_HW_CPU_CYCLES, -1);
  if (cycles_fd_ < 0) return false;
  instructions_fd_ = open_event(PERF_COUNT_HW_INSTRUCTIONS, cycles_fd_);
  return true;
}

void CycleCounter::start() {
  if (cycles_fd_ < 0) return;
  ioctl(cycles_fd_, PERF_EVENT_IOC_RESET, PERF_IOC_FLAG_GROUP);
  ioctl(cycles_fd_, PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP);
}

CycleCounter::Counts CycleCounter::stop(double seconds) {
  if (cycles_fd_ < 0) return {seconds * ticks_per_second_ * threads_, 0};
  ioctl(cycles_fd_, PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP);
  return {read_event(cycles_fd_), read_event(instructions_fd_)};
}

}  // namespace nibble
