#include "tools/nibble/signals.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <utility>

namespace nibble::cli {
namespace {

// Signals belong to the process, so this state does too.
std::atomic<int> g_interrupts{0};
std::atomic<int> g_termination{0};
std::atomic<int> g_signals{0};  // of both kinds
std::atomic<int> g_patience{2};
std::atomic<int> g_in_handler{0};
std::atomic<Session* const*> g_sessions{nullptr};  // up to a null pointer
int g_wake[2] = {-1, -1};  // the handler may run on any thread: a pipe reaches the waiting one
static_assert(std::atomic<Session* const*>::is_always_lock_free &&
              std::atomic<int>::is_always_lock_free);

void handle(int signal) {
  const int saved_errno = errno;
  g_in_handler.fetch_add(1);
  if (signal == SIGINT) g_interrupts.fetch_add(1);
  if (signal != SIGINT) g_termination = signal;
  if (g_signals.fetch_add(1) + 1 >= g_patience.load()) _exit(128 + signal);
  Session* const* session = g_sessions.load();
  while (session != nullptr && *session != nullptr) (*session++)->cancel();
  wake_input();
  g_in_handler.fetch_sub(1);
  errno = saved_errno;
}

}  // namespace

void install_signal_handlers(int patience) {
  g_patience = patience;
  if (g_wake[0] == -1 && pipe2(g_wake, O_CLOEXEC | O_NONBLOCK) != 0) g_wake[0] = g_wake[1] = -1;
  struct sigaction action = {};
  action.sa_handler = handle;  // no SA_RESTART: a blocked read() returns
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    struct sigaction old;
    // A signal that our parent made us ignore (nohup, a background job) stays ignored.
    if (sigaction(signal, nullptr, &old) == 0 && old.sa_handler == SIG_IGN) continue;
    sigaction(signal, &action, nullptr);
  }
}

int set_patience(int patience) {
  return g_patience.exchange(patience);
}

int interrupts() {
  return g_interrupts.load();
}

void clear_interrupts() {
  g_interrupts = 0;
  g_signals = 0;
}

int termination_signal() {
  return g_termination.load();
}

int signal_exit_code() {
  if (const int signal = termination_signal()) return 128 + signal;
  return interrupts() > 0 ? 128 + SIGINT : 0;
}

CancelOnSignal::CancelOnSignal(std::vector<Session*> sessions) : sessions_(std::move(sessions)) {
  sessions_.push_back(nullptr);
  g_sessions = sessions_.data();
}

CancelOnSignal::~CancelOnSignal() {
  g_sessions = nullptr;
  while (g_in_handler.load() != 0) sched_yield();  // a handler on another thread may still hold it
}

bool wait_for_input(int fd) {
  pollfd descriptors[2] = {{fd, POLLIN, 0}, {g_wake[0], POLLIN, 0}};
  while (poll(descriptors, 2, -1) == -1 && errno == EINTR) {
  }
  if (descriptors[1].revents == 0) return true;
  char drain[16];
  while (read(g_wake[0], drain, sizeof(drain)) > 0) {
  }
  return false;
}

void wake_input() {
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = write(g_wake[1], &byte, 1);  // full: already awake
}

}  // namespace nibble::cli
