// Standard output that can fail: closed, a pipe whose reader went away, a full disk. Everything a
// command is asked for goes to stdout, everything else to stderr.
#pragma once

#include <string>
#include <string_view>

#include "nibble/result.h"

namespace nibble::cli {

// The exit code when the reader of our output went away: what a shell shows for SIGPIPE.
inline constexpr int kBrokenPipeExit = 141;

// Ignores SIGPIPE and SIGXFSZ, and occupies closed descriptors 0 .. 2 so that no file of ours gets
// their numbers; reading or writing them still fails.
void protect_standard_streams();

// Flushes stdout. Gives `exit_code`, or if that is 0 and the output did not get out: 141 quietly
// for a reader that went away, else 74 with a message.
int finish_output(int exit_code);

// `text` without C0, DEL and C1 control characters other than newline and tab: what a terminal may
// see of a text of unknown origin, such as a message that quotes a file.
std::string printable(std::string_view text);

// Prints to stderr what a person should know though nothing failed.
void print_note(std::string_view note);

// Writes an answer to stdout as it comes. On a terminal, control characters other than newline and
// tab are left out: a model's text must not steer the terminal.
class AnswerWriter {
 public:
  AnswerWriter();
  // False when the output cannot be written; finish_output() then tells why.
  bool write(std::string_view text);
  // Ends the last line if it is not ended.
  void end_line();
  bool failed() const { return failed_; }

 private:
  bool terminal_ = false;
  bool failed_ = false;
  bool line_open_ = false;
};

}  // namespace nibble::cli
