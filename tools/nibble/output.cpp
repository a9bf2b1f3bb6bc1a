#include "tools/nibble/output.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "tools/nibble/command.h"

namespace nibble::cli {
namespace {

bool reader_is_gone() {
  pollfd descriptor{STDOUT_FILENO, POLLOUT, 0};
  return poll(&descriptor, 1, 0) == 1 && (descriptor.revents & POLLERR) != 0;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char byte = static_cast<unsigned char>(text[i]);
    const bool c1 =
        byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c1) ++i;
    if (c1 || byte == 0x7F || (byte < 0x20 && byte != '\n' && byte != '\t')) continue;
    out += text[i];
  }
  return out;
}

void print_note(std::string_view note) {
  std::fprintf(stderr, "nibble: note: %s\n", printable(note).c_str());
}

void protect_standard_streams() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error like a full disk
  // The directions are the wrong way round on purpose: using a closed stream must go on failing.
  constexpr int kModes[] = {O_WRONLY, O_RDONLY, O_RDWR};
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", kModes[fd]) != fd) _exit(71);
  }
}

int finish_output(int exit_code) {
  errno = 0;
  const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
  int reason = errno;
  if (!failed || exit_code != 0) return exit_code;
  // An earlier write failed and its errno is gone: the output is broken anyway, so try another.
  if (reason == 0 && write(STDOUT_FILENO, "\n", 1) != 1) reason = errno;
  if (reason == EPIPE || reader_is_gone()) return kBrokenPipeExit;
  std::string message = "cannot write to standard output";
  if (reason != 0) message += std::string(": ") + std::strerror(reason);
  return fail({ErrorCode::kIo, message});
}

AnswerWriter::AnswerWriter() : terminal_(isatty(STDOUT_FILENO) == 1) {}

bool AnswerWriter::write(std::string_view text) {
  if (failed_ || text.empty()) return !failed_;
  const std::string filtered = terminal_ ? printable(text) : std::string();
  const std::string_view out = terminal_ ? std::string_view(filtered) : text;
  failed_ =
      std::fwrite(out.data(), 1, out.size(), stdout) != out.size() || std::fflush(stdout) != 0;
  line_open_ = text.back() != '\n';
  return !failed_;
}

void AnswerWriter::end_line() {
  if (line_open_) write("\n");
}

}  // namespace nibble::cli
