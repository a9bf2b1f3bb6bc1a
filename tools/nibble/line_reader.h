// Lines from a person: editing and history by libedit where it was built in, else plain lines.
#pragma once

#include <memory>
#include <string>

namespace nibble::cli {

class LineReader {
 public:
  enum class Event { kLine, kEnd, kSignal };

  // Prompts go to `fd_out`, a terminal. History is kept in $XDG_STATE_HOME/nibble/history (or under
  // ~/.local/state) if that can be written. Needs install_signal_handlers().
  explicit LineReader(int fd_out);
  ~LineReader();

  // Sleeps until there is a line (without its newline), the end of input (Ctrl-D) or a signal. The
  // terminal is as before when it returns.
  Event read(const std::string& prompt, std::string* line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble::cli
