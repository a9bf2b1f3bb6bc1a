// Ctrl-C and being asked to stop. The handler sets flags, cancels the running session (an atomic
// flag in it) and wakes whoever waits in wait_for_input(); everything else happens on the program's
// own time. Commands that do not install it keep the system's default.
#pragma once

#include <vector>

#include "nibble/nibble.h"

namespace nibble::cli {

// Handles SIGINT, and SIGTERM, SIGHUP and SIGQUIT alike. When `patience` of them come
// without clear_interrupts() between, the handler itself ends the program.
void install_signal_handlers(int patience);

// Changes it; gives the old one.
int set_patience(int patience);

// SIGINTs since the last clear_interrupts().
int interrupts();
void clear_interrupts();

// The signal other than SIGINT that asks the program to end, or 0.
int termination_signal();

// 128 + the signal that came (SIGINT: 130, SIGTERM: 143), or 0 if none did.
int signal_exit_code();

// While it lives, signals cancel these sessions.
class CancelOnSignal {
 public:
  explicit CancelOnSignal(Session& session) : CancelOnSignal(std::vector<Session*>{&session}) {}
  explicit CancelOnSignal(std::vector<Session*> sessions);
  ~CancelOnSignal();
  CancelOnSignal(const CancelOnSignal&) = delete;
  CancelOnSignal& operator=(const CancelOnSignal&) = delete;

 private:
  std::vector<Session*> sessions_;  // and a null pointer
};

// Waits until `fd` can be read; false if a signal or wake_input() came first. Needs
// install_signal_handlers().
bool wait_for_input(int fd);
// Async-signal-safe: ends a wait_for_input(), now or when it begins.
void wake_input();

}  // namespace nibble::cli
