#include "runtime/machine/lost_pages.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>

namespace nibble {
namespace {

constexpr uint64_t kNone = UINT64_MAX;

// Read by the signal handler, so all are atomics without locks. `start` is set last and cleared
// first: while it is set, `bytes` and `lost` belong to that mapping.
struct Watch {
  std::atomic<uintptr_t> start{0};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> lost{kNone};
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

Watch watches[kMostWatched];
std::atomic<int> watches_end{0};  // behind the highest ever used
std::mutex mutex;                 // writers of watches
uintptr_t page_bytes = 0;         // set before the handler is installed
struct sigaction before_us;

// Only async-signal-safe calls, and mmap, which is one system call.
void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  const int end = watches_end.load(std::memory_order_acquire);
  for (int i = 0; i < end; ++i) {
    const uintptr_t start = watches[i].start.load(std::memory_order_acquire);
    if (start == 0 || address < start || address - start >= watches[i].bytes.load()) continue;
    const uintptr_t page = address & ~(page_bytes - 1);
    if (mmap(reinterpret_cast<void*>(page), page_bytes, PROT_READ,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
      break;
    }
    uint64_t none = kNone;
    watches[i].lost.compare_exchange_strong(none, page - start);
    errno = saved;
    return;
  }
  errno = saved;
  if ((before_us.sa_flags & SA_SIGINFO) != 0) return before_us.sa_sigaction(signal, info, context);
  if (before_us.sa_handler != SIG_DFL && before_us.sa_handler != SIG_IGN) {
    return before_us.sa_handler(signal);
  }
  sigaction(signal, &before_us, nullptr);  // the read is tried again and ends the process
}

void install() {
  page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  struct sigaction ours {};
  ours.sa_sigaction = on_bus_error;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  sigaction(SIGBUS, &ours, &before_us);
}

}  // namespace

int watch_pages(const uint8_t* data, uint64_t bytes) {
  static std::once_flag installed;
  std::call_once(installed, install);
  const std::lock_guard lock(mutex);
  for (int i = 0; i < kMostWatched; ++i) {
    Watch& watch = watches[i];
    if (watch.start != 0) continue;
    watch.bytes = bytes;
    watch.lost = kNone;
    watch.start.store(reinterpret_cast<uintptr_t>(data), std::memory_order_release);
    if (i >= watches_end) watches_end.store(i + 1, std::memory_order_release);
    return i;
  }
  return -1;
}

void unwatch_pages(int watch) {
  if (watch < 0) return;
  const std::lock_guard lock(mutex);
  watches[watch].start = 0;
}

std::optional<uint64_t> lost_page(int watch) {
  if (watch < 0) return {};
  const uint64_t lost = watches[watch].lost.load(std::memory_order_relaxed);
  return lost == kNone ? std::optional<uint64_t>() : lost;
}

}  // namespace nibble
