// Runs the built program as a person or a script does: as a child with pipes, or at a
// pseudo-terminal. Its environment has PATH, TERM, LC_ALL, NIBBLE_THREADS, a HOME of its own and
// what a test adds.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace nibble::test {

inline constexpr int kPatienceMs = 60'000;  // for sanitizers and busy machines
inline constexpr const char* kProgram = NIBBLE_BINARY_DIR "/nibble";
inline constexpr const char* kModel =
    NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf";

// A folder that is removed with everything in it.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "nibble-cli-XXXXXX").string();
    path_ = mkdtemp(pattern.data()) == nullptr ? "" : pattern;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

using Environment = std::map<std::string, std::string>;

// Never returns. `closed`: descriptors the program shall start without.
[[noreturn]] inline void become_program(const std::vector<std::string>& arguments,
                                        const Environment& more, const std::vector<int>& closed) {
  Environment all = {{"PATH", "/usr/bin:/bin"},
                     {"TERM", "xterm"},
                     {"LC_ALL", "C.UTF-8"},
                     {"NIBBLE_THREADS", "1"}};  // several programs run at once under ctest
  for (const char* name :
       {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", "LLVM_PROFILE_FILE"}) {
    if (const char* value = std::getenv(name)) all[name] = value;
  }
  for (const auto& [name, value] : more) all[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : all) lines.push_back(name + "=" + value);
  std::vector<char*> environment;
  for (std::string& line : lines) environment.push_back(line.data());
  environment.push_back(nullptr);
  std::vector<char*> argv = {const_cast<char*>(kProgram)};
  for (const std::string& word : arguments) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  for (const int fd : closed) close(fd);
  execve(kProgram, argv.data(), environment.data());
  _exit(127);
}

// 128 + the signal for a child that a signal ended, as in a shell. -1: had to be killed.
inline int wait_for_exit(pid_t child, int patience_ms = kPatienceMs) {
  int status = 0;
  for (int waited = 0; waited < patience_ms; waited += 5) {
    if (waitpid(child, &status, WNOHANG) == child) {
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    usleep(5000);
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return -1;
}

struct How {
  std::string input = {};  // for stdin, a pipe
  Environment environment = {};
  std::vector<int> closed = {};   // of 0, 1, 2
  std::string stdout_file = {};   // instead of a pipe
  size_t read_at_most = 1 << 30;  // of stdout, then the pipe is closed
  int signal = 0;  // sent when `signal_after` was seen on stdout (or at once if empty)
  std::string signal_after = {};
  int patience_ms = kPatienceMs;      // with its silence
  std::function<void()> before = {};  // in the child, before the program takes its place
};

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

inline Outcome run(const std::vector<std::string>& arguments, How how = {}) {
  const Folder home;
  how.environment.try_emplace("HOME", home.path());
  int in[2], out[2], err[2];
  if (pipe(in) != 0 || pipe(out) != 0 || pipe(err) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    if (!how.stdout_file.empty()) {
      out[1] = open(how.stdout_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    }
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    for (const int fd : {in[0], in[1], out[0], out[1], err[0], err[1]}) {
      if (fd > 2) close(fd);
    }
    if (how.before) how.before();
    become_program(arguments, how.environment, how.closed);
  }
  for (const int fd : {in[0], out[1], err[1]}) close(fd);
  std::signal(SIGPIPE, SIG_IGN);  // the child may not want its input
  [[maybe_unused]] const ssize_t sent = write(in[1], how.input.data(), how.input.size());
  close(in[1]);
  Outcome outcome;
  pollfd from[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  while (from[0].fd >= 0 || from[1].fd >= 0) {
    if (how.signal != 0 && outcome.out.find(how.signal_after) != std::string::npos) {
      kill(child, how.signal);
      how.signal = 0;
    }
    if (poll(from, 2, how.patience_ms) <= 0) break;
    for (int i = 0; i < 2; ++i) {
      char chunk[4096];
      if (from[i].fd < 0 || from[i].revents == 0) continue;
      const ssize_t got = read(from[i].fd, chunk, sizeof(chunk));
      if (got > 0) (i == 0 ? outcome.out : outcome.err).append(chunk, static_cast<size_t>(got));
      if (got <= 0 || (i == 0 && outcome.out.size() >= how.read_at_most)) {
        close(from[i].fd);
        from[i].fd = -1;
      }
    }
  }
  for (const pollfd& open_fd : from) {
    if (open_fd.fd >= 0) close(open_fd.fd);
  }
  outcome.code = wait_for_exit(child);
  return outcome;
}

// The program with a person before it.
class Terminal {
 public:
  explicit Terminal(const std::vector<std::string>& arguments, Environment environment = {}) {
    environment.try_emplace("HOME", home_.path());
    winsize size = {24, 200, 0, 0};
    child_ = forkpty(&fd_, nullptr, nullptr, &size);
    if (child_ == 0) become_program(arguments, environment, {});
    tcgetattr(fd_, &before_);
  }
  ~Terminal() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    close(fd_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(const std::string& text) {
    ASSERT_EQ(write(fd_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  // Waits until `text` comes after what was expected before.
  testing::AssertionResult expect(const std::string& text) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
    while (std::chrono::steady_clock::now() < end) {
      if (const size_t at = screen_.find(text, seen_); at != std::string::npos) {
        seen_ = at + text.size();
        return testing::AssertionSuccess();
      }
      if (!read_some(100)) break;
    }
    return testing::AssertionFailure() << "'" << text << "' did not come; the screen from there:\n"
                                       << screen_.substr(seen_);
  }

  // What comes before the next `text`, which is then expected.
  std::string until(const std::string& text) {
    const size_t begin = seen_;
    EXPECT_TRUE(expect(text));
    return screen_.substr(begin, seen_ - text.size() - begin);
  }

  // What came since the last expect(), after waiting `ms` for more.
  std::string rest(int ms) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
    while (std::chrono::steady_clock::now() < end && read_some(20)) {
    }
    return screen_.substr(seen_);
  }

  int exit_code() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
    while (std::chrono::steady_clock::now() < end && read_some(100)) {
    }
    const int code = wait_for_exit(child_, 5000);
    child_ = -1;
    return code;
  }

  // Whether the terminal's settings are those that the program found.
  bool is_restored() const {
    termios now = {};
    tcgetattr(fd_, &now);
    return now.c_lflag == before_.c_lflag && now.c_iflag == before_.c_iflag &&
           now.c_oflag == before_.c_oflag;
  }

  pid_t child() const { return child_; }
  std::string home(const std::string& name) const { return home_.file(name); }

 private:
  // False when the program is gone.
  bool read_some(int ms) {
    pollfd from = {fd_, POLLIN, 0};
    if (poll(&from, 1, ms) == 0) return true;
    char chunk[4096];
    const ssize_t got = read(fd_, chunk, sizeof(chunk));
    if (got <= 0) return false;
    screen_.append(chunk, static_cast<size_t>(got));
    return true;
  }

  Folder home_;
  pid_t child_ = -1;
  int fd_ = -1;
  termios before_ = {};
  std::string screen_;
  size_t seen_ = 0;
};

}  // namespace nibble::test
