#include "tools/nibble/line_reader.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "tools/nibble/signals.h"

#ifdef NIBBLE_LIBEDIT
#include <histedit.h>
#include <langinfo.h>

#include <clocale>
#include <cstring>
#include <cwchar>
#include <limits>

#include "tools/nibble/history.h"
#endif

namespace nibble::cli {

#ifdef NIBBLE_LIBEDIT

namespace {

// Terminal signals while a line is edited; libedit's own handling of them would also take SIGINT.
volatile std::sig_atomic_t g_terminal_signal = 0;

void note_terminal_signal(int signal) {
  g_terminal_signal = signal;
  wake_input();
}

// For the time of one line: Ctrl-Z, a resized window, and no end by the handler itself, since the
// terminal is in libedit's mode.
class TerminalSignals {
 public:
  TerminalSignals() : old_patience_(set_patience(std::numeric_limits<int>::max())) {
    struct sigaction action = {};
    action.sa_handler = note_terminal_signal;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTSTP, &action, &old_stop_);
    sigaction(SIGWINCH, &action, &old_resize_);
  }
  ~TerminalSignals() {
    sigaction(SIGTSTP, &old_stop_, nullptr);
    sigaction(SIGWINCH, &old_resize_, nullptr);
    set_patience(old_patience_);
  }
  TerminalSignals(const TerminalSignals&) = delete;
  TerminalSignals& operator=(const TerminalSignals&) = delete;

 private:
  int old_patience_;
  struct sigaction old_stop_;
  struct sigaction old_resize_;
};

void handle_terminal_signal(EditLine* editor) {
  const int signal = g_terminal_signal;
  g_terminal_signal = 0;
  if (signal == SIGTSTP) {
    el_set(editor, EL_PREP_TERM, 0);
    raise(SIGSTOP);
    el_set(editor, EL_PREP_TERM, 1);
  }
  if (signal == SIGWINCH) el_resize(editor);
  if (signal != 0) el_set(editor, EL_REFRESH);
}

// libedit's source of characters. -1 on a signal, with errno EINTR.
int read_character(EditLine* editor, wchar_t* out) {
  std::mbstate_t state = {};
  while (true) {
    if (!wait_for_input(STDIN_FILENO)) {
      handle_terminal_signal(editor);
      if (signal_exit_code() == 0) continue;
      errno = EINTR;
      return -1;
    }
    char byte = 0;
    const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return static_cast<int>(got);
    const size_t length = std::mbrtowc(out, &byte, 1, &state);
    if (length == static_cast<size_t>(-2)) continue;  // more bytes of the character follow
    if (length != static_cast<size_t>(-1)) return 1;
    state = {};  // not a character: leave it out
  }
}

// libedit takes characters by the locale: UTF-8 wherever there is any.
void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

struct LineReader::Impl {
  FILE* out = nullptr;
  EditLine* editor = nullptr;
  History* history = nullptr;
  HistoryFile file;
  std::string prompt;
  std::string last;

  static char* prompt_of(EditLine* editor) {
    void* impl = nullptr;
    el_get(editor, EL_CLIENTDATA, &impl);
    return static_cast<Impl*>(impl)->prompt.data();
  }
};

LineReader::LineReader(int fd_out) : impl_(std::make_unique<Impl>()) {
  use_utf8();
  Impl& impl = *impl_;
  impl.out = fdopen(dup(fd_out), "w");
  impl.editor = el_init("nibble", stdin, impl.out == nullptr ? stderr : impl.out, stderr);
  impl.history = history_init();
  if (impl.editor == nullptr || impl.history == nullptr) return;
  HistEvent event;
  history(impl.history, &event, H_SETSIZE, 1000);
  for (const std::string& line : impl.file.load()) {
    history(impl.history, &event, H_ENTER, line.c_str());
    impl.last = line;
  }
  el_set(impl.editor, EL_CLIENTDATA, &impl);
  el_set(impl.editor, EL_HIST, history, impl.history);
  el_set(impl.editor, EL_EDITOR, "emacs");
  el_set(impl.editor, EL_SIGNAL, 0);
  el_set(impl.editor, EL_GETCFN, read_character);
  el_set(impl.editor, EL_PROMPT, Impl::prompt_of);
  el_set(impl.editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  // Ctrl-D typed while an answer is printed: the terminal hands it over as a NUL (Linux n_tty).
  el_set(impl.editor, EL_BIND, "^@", "em-delete-or-list", nullptr);
  el_source(impl.editor, nullptr);
}

LineReader::~LineReader() {
  if (impl_->history != nullptr) history_end(impl_->history);
  if (impl_->editor != nullptr) el_end(impl_->editor);
  if (impl_->out != nullptr) std::fclose(impl_->out);
}

LineReader::Event LineReader::read(const std::string& prompt, std::string* line) {
  Impl& impl = *impl_;
  line->clear();
  if (impl.editor == nullptr || impl.history == nullptr) return Event::kEnd;
  impl.prompt = prompt;
  int count = 0;
  const char* text = nullptr;
  {
    const TerminalSignals signals;
    text = el_gets(impl.editor, &count);
  }
  if (text == nullptr || count <= 0) return signal_exit_code() != 0 ? Event::kSignal : Event::kEnd;
  line->assign(text, static_cast<size_t>(count));
  if (line->ends_with('\n')) line->pop_back();
  if (!line->empty() && *line != impl.last) {
    HistEvent event;
    history(impl.history, &event, H_ENTER, line->c_str());
    impl.file.append(*line);
    impl.last = *line;
  }
  return Event::kLine;
}

#else  // without libedit: the terminal's own line editing

struct LineReader::Impl {
  int fd_out;
  std::string pending;  // read, not yet given out
};

LineReader::LineReader(int fd_out) : impl_(std::make_unique<Impl>(Impl{fd_out, ""})) {}
LineReader::~LineReader() = default;

LineReader::Event LineReader::read(const std::string& prompt, std::string* line) {
  if (write(impl_->fd_out, prompt.data(), prompt.size()) < 0) return Event::kEnd;
  while (true) {
    if (const size_t end = impl_->pending.find('\n'); end != std::string::npos) {
      *line = impl_->pending.substr(0, end);
      impl_->pending.erase(0, end + 1);
      return Event::kLine;
    }
    if (!wait_for_input(STDIN_FILENO)) {
      if (signal_exit_code() == 0) continue;
      impl_->pending.clear();
      return Event::kSignal;
    }
    char chunk[4096];
    const ssize_t got = ::read(STDIN_FILENO, chunk, sizeof(chunk));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Event::kEnd;
    impl_->pending.append(chunk, static_cast<size_t>(got));
  }
}

#endif

}  // namespace nibble::cli
