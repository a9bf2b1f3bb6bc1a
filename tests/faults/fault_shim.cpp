// Preloaded into the program: lets one call of the system fail, or kills the process in it.
//
//   NIBBLE_FAULT=CALL:N:WHAT   the Nth CALL ("3+": the third and all behind it) fails with the
//   error
//                              number WHAT; WHAT is "short": does half of its work; "kill": does
//                              half of it and the process dies
//   NIBBLE_FAULT_COUNT=FILE    writes how often each call was made, when the process ends
//
// "place" is where pages shall lie (mbind) and lie (move_pages), which have no function of their
// own. Standard input, output and error are left alone, and what the C library does by itself
// (fopen). Read next: faults_test.cpp.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

enum Call {
  kRead,
  kWrite,
  kFsync,
  kRename,
  kFtruncate,
  kFallocate,
  kCreate,
  kMmap,
  kMadvise,
  kPlace,
  kSetaffinity,
  kThread,
  kCalls
};
constexpr const char* kNames[kCalls] = {"read",      "write",     "fsync",       "rename",
                                        "ftruncate", "fallocate", "create",      "mmap",
                                        "madvise",   "place",     "setaffinity", "thread"};

std::atomic<long> counts[kCalls];

// What is to happen, read once. No allocation: mimalloc calls mmap before there is a heap.
struct Fault {
  Fault() {
    const char* text = std::getenv("NIBBLE_FAULT");
    if (text == nullptr) return;
    const char* colon = std::strchr(text, ':');
    if (colon == nullptr) return;
    for (int i = 0; i < kCalls; ++i) {
      if (std::strlen(kNames[i]) == static_cast<size_t>(colon - text) &&
          std::strncmp(text, kNames[i], std::strlen(kNames[i])) == 0) {
        call = i;
      }
    }
    char* end = nullptr;
    first = std::strtol(colon + 1, &end, 10);
    last = *end == '+' ? __LONG_MAX__ : first;
    end += *end == '+';
    what = end + 1;
    error = static_cast<int>(std::strtol(what, nullptr, 10));
  }
  int call = -1;
  long first = 0, last = 0;
  const char* what = "";
  int error = 0;
};

const Fault& fault() {
  static const Fault read;
  return read;
}

bool is(const char* what) {
  return std::strcmp(fault().what, what) == 0;
}

// Whether this call is the one. Kills where nothing can be done by halves.
bool strikes(Call call, bool halves = false) {
  const long number = ++counts[call];
  if (fault().call != call || number < fault().first || number > fault().last) return false;
  if (is("kill") && !halves) kill(getpid(), SIGKILL);
  errno = fault().error;
  return true;
}

// `real(bytes)` reads or writes; `bytes` are wanted.
template <typename Real>
ssize_t transfer(Call call, int fd, size_t bytes, Real&& real) {
  if (fd <= 2 || !strikes(call, true)) return real(bytes);
  if (is("kill") || is("short")) {
    const ssize_t done = real(bytes > 1 ? bytes / 2 : bytes);
    if (is("kill")) kill(getpid(), SIGKILL);
    return done;
  }
  return -1;
}

template <typename Function>
Function* original(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// The file is opened at once: the program may shut that off for itself.
struct Report {
  Report() {
    const char* path = std::getenv("NIBBLE_FAULT_COUNT");
    if (path == nullptr) return;
    constexpr int kHow = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    file = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, kHow, 0600));
  }
  ~Report() {
    for (int i = 0; i < kCalls && file >= 0; ++i) {
      dprintf(file, "%s %ld\n", kNames[i], counts[i].load());
    }
  }
  int file = -1;
} report;

}  // namespace

extern "C" {

ssize_t read(int fd, void* data, size_t bytes) {
  return transfer(kRead, fd, bytes, [&](size_t n) { return syscall(SYS_read, fd, data, n); });
}

ssize_t pread64(int fd, void* data, size_t bytes, off64_t at) {
  return transfer(kRead, fd, bytes,
                  [&](size_t n) { return syscall(SYS_pread64, fd, data, n, at); });
}

ssize_t pread(int fd, void* data, size_t bytes, off_t at) {
  return pread64(fd, data, bytes, at);
}

ssize_t write(int fd, const void* data, size_t bytes) {
  return transfer(kWrite, fd, bytes, [&](size_t n) { return syscall(SYS_write, fd, data, n); });
}

ssize_t pwrite64(int fd, const void* data, size_t bytes, off64_t at) {
  return transfer(kWrite, fd, bytes,
                  [&](size_t n) { return syscall(SYS_pwrite64, fd, data, n, at); });
}

ssize_t pwrite(int fd, const void* data, size_t bytes, off_t at) {
  return pwrite64(fd, data, bytes, at);
}

ssize_t writev(int fd, const iovec* parts, int count) {
  if (fd > 2 && strikes(kWrite)) return -1;
  return syscall(SYS_writev, fd, parts, count);
}

int fsync(int fd) {
  return strikes(kFsync) ? -1 : static_cast<int>(syscall(SYS_fsync, fd));
}

int fdatasync(int fd) {
  return strikes(kFsync) ? -1 : static_cast<int>(syscall(SYS_fdatasync, fd));
}

int rename(const char* from, const char* to) {
  if (strikes(kRename)) return -1;
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int ftruncate64(int fd, off64_t bytes) {
  return strikes(kFtruncate) ? -1 : static_cast<int>(syscall(SYS_ftruncate, fd, bytes));
}

int ftruncate(int fd, off_t bytes) {
  return ftruncate64(fd, bytes);
}

int fallocate64(int fd, int mode, off64_t at, off64_t bytes) {
  return strikes(kFallocate) ? -1 : static_cast<int>(syscall(SYS_fallocate, fd, mode, at, bytes));
}

int fallocate(int fd, int mode, off_t at, off_t bytes) {
  return fallocate64(fd, mode, at, bytes);
}

int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  if ((flags & O_CREAT) != 0 && strikes(kCreate)) return -1;
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open64(path, flags, mode);
}

void* mmap64(void* at, size_t bytes, int protection, int flags, int fd, off64_t offset) {
  if (strikes(kMmap)) return MAP_FAILED;
  return reinterpret_cast<void*>(syscall(SYS_mmap, at, bytes, protection, flags, fd, offset));
}

void* mmap(void* at, size_t bytes, int protection, int flags, int fd, off_t offset) {
  return mmap64(at, bytes, protection, flags, fd, offset);
}

int madvise(void* at, size_t bytes, int advice) noexcept {
  return strikes(kMadvise) ? -1 : static_cast<int>(syscall(SYS_madvise, at, bytes, advice));
}

long syscall(long number, ...) noexcept {
  va_list more;
  va_start(more, number);
  long with[6];
  for (long& each : with) each = va_arg(more, long);
  va_end(more);
  if ((number == SYS_mbind || number == SYS_move_pages) && strikes(kPlace)) return -1;
  return original<long(long, ...)>("syscall")(number, with[0], with[1], with[2], with[3], with[4],
                                              with[5]);
}

int sched_setaffinity(pid_t process, size_t bytes, const cpu_set_t* set) noexcept {
  if (strikes(kSetaffinity)) return -1;
  return static_cast<int>(syscall(SYS_sched_setaffinity, process, bytes, set));
}

int pthread_setaffinity_np(pthread_t thread, size_t bytes, const cpu_set_t* set) noexcept {
  if (strikes(kSetaffinity)) return errno;
  return original<int(pthread_t, size_t, const cpu_set_t*)>("pthread_setaffinity_np")(thread, bytes,
                                                                                      set);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) noexcept {
  if (strikes(kThread)) return errno;
  using Create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  return original<Create>("pthread_create")(thread, attributes, run, argument);
}

}  // extern "C"
