#include "tools/nibble/chat.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "tools/nibble/command.h"
#include "tools/nibble/line_reader.h"
#include "tools/nibble/numbers.h"
#include "tools/nibble/signals.h"
#include "tools/nibble/suggestion.h"

namespace nibble::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kHelp =
    R"(  /set NAME VALUE  change a setting; /set alone shows them
  /system TEXT     instructions to the model; begins a new conversation
  /clear           begin a new conversation
  /stats           speed and memory of the last answer
  /exit            leave (also Ctrl-D)
Ctrl-C stops an answer. A line that ends in \ goes on in the next; """ begins
and ends a longer text.
)";

// Everything but answers goes here: stdout may be a file while a person sits at the terminal.
void say(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

class Chat {
 public:
  Chat(Conversation* conversation, bool stats)
      : conversation_(*conversation),
        stats_(stats),
        reader_(isatty(STDOUT_FILENO) == 1 ? STDOUT_FILENO : STDERR_FILENO) {}

  int run();

 private:
  enum class Next { kGoOn, kLeave };

  LineReader::Event read_message(std::string* message);
  LineReader::Event read_block(std::string* message);
  Next after_signal();
  Next answer(const std::string& message);
  Next command(const std::string& line);
  void set(const std::string& arguments);
  void set_system(const std::string& text);
  void clear();
  void greet();
  void show_stats();

  Conversation& conversation_;
  bool stats_;
  LineReader reader_;
  AnswerWriter writer_;
  std::optional<Clock::time_point> last_interrupt_;
  std::optional<Completion> last_;
  int exit_code_ = 0;
};

std::string trim(const std::string& text) {
  constexpr const char* kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

void Chat::greet() {
  const RunFacts facts = conversation_.facts();
  say(conversation_.model().name() + " (" + human_bytes(conversation_.model().weight_bytes()) +
      ", context " + std::to_string(facts.context) + ", " +
      std::to_string(facts.placement.threads) +
      (facts.placement.threads == 1 ? " thread" : " threads") +
      "). /help shows commands, Ctrl-D leaves.\n");
}

int Chat::run() {
  greet();
  std::string message;
  while (true) {
    const LineReader::Event event = read_message(&message);
    Next next = Next::kGoOn;
    if (event == LineReader::Event::kEnd) {
      say("\n");
      return 0;
    }
    if (event == LineReader::Event::kSignal) {
      say("\n");
      next = after_signal();
      if (next == Next::kGoOn) say("(Ctrl-C again, or Ctrl-D, leaves)\n");
    } else if (message.starts_with('/')) {
      next = command(trim(message));
    } else if (!trim(message).empty()) {
      next = answer(message);
    }
    if (next == Next::kLeave) return exit_code_;
  }
}

// A message of one or more lines. Its lines are joined by newlines.
LineReader::Event Chat::read_message(std::string* message) {
  LineReader::Event event = reader_.read("> ", message);
  if (event != LineReader::Event::kLine) return event;
  if (message->starts_with("\"\"\"")) return read_block(message);
  std::string line;
  while (message->ends_with('\\')) {
    message->back() = '\n';
    event = reader_.read(". ", &line);
    if (event != LineReader::Event::kLine) return event;
    *message += line;
  }
  return event;
}

// The rest of a text between """ and """, whose first line is in `message`.
LineReader::Event Chat::read_block(std::string* message) {
  const std::string quotes = "\"\"\"";
  message->erase(0, quotes.size());
  if (message->empty()) {
    const auto event = reader_.read(". ", message);
    if (event != LineReader::Event::kLine) return event;
  }
  std::string line;
  while (!message->ends_with(quotes)) {
    const auto event = reader_.read(". ", &line);
    if (event != LineReader::Event::kLine) return event;
    *message += "\n" + line;
  }
  message->resize(message->size() - quotes.size());
  return LineReader::Event::kLine;
}

// A Ctrl-C in the second after another leaves; so does being asked to end.
Chat::Next Chat::after_signal() {
  const int code = signal_exit_code();
  const bool twice = interrupts() > 1 ||
                     (last_interrupt_ && Clock::now() - *last_interrupt_ < std::chrono::seconds(1));
  if (termination_signal() != 0 || twice) {
    exit_code_ = code;
    return Next::kLeave;
  }
  last_interrupt_ = Clock::now();
  clear_interrupts();
  return Next::kGoOn;
}

Chat::Next Chat::answer(const std::string& message) {
  const auto completion = conversation_.ask(message, &writer_);
  writer_.end_line();
  if (completion) last_ = *completion;
  if (writer_.failed()) return Next::kLeave;  // finish_output() says why
  if (signal_exit_code() != 0) return after_signal();
  if (!completion) {
    say("nibble: " + printable(completion.error().message) +
        " (/clear begins a new conversation)\n");
    return Next::kGoOn;
  }
  if (completion->reason == StopReason::kContextFull) {
    say("nibble: the context of " + std::to_string(conversation_.facts().context) +
        " tokens is full: /clear begins a new conversation; a larger one: nibble run -c N\n");
  }
  if (stats_) show_stats();
  say("\n");
  return Next::kGoOn;
}

Chat::Next Chat::command(const std::string& line) {
  const size_t space = line.find_first_of(" \t\n");
  const std::string name = line.substr(0, space);
  const std::string arguments = space == std::string::npos ? "" : trim(line.substr(space));
  if (name == "/exit" || name == "/quit" || name == "/bye") return Next::kLeave;
  if (name == "/help" || name == "/?") {
    say(kHelp);
  } else if (name == "/set") {
    set(arguments);
  } else if (name == "/system") {
    set_system(arguments);
  } else if (name == "/clear") {
    clear();
  } else if (name == "/stats") {
    show_stats();
  } else {
    say("unknown command '" + name + "'" +
        did_you_mean(name, {"/help", "/set", "/system", "/clear", "/stats", "/exit"}) +
        " (/help shows them; a message that begins with / needs a space before it)\n");
  }
  return Next::kGoOn;
}

void Chat::show_stats() {
  if (last_) conversation_.measure_bandwidth();
  say(last_ ? stats_text(*last_, conversation_.facts()) : "No answer yet.\n");
}

void Chat::set(const std::string& arguments) {
  const size_t space = arguments.find_first_of(" \t=");
  const std::string name = arguments.substr(0, space);
  const std::string value = space == std::string::npos ? "" : trim(arguments.substr(space + 1));
  if (arguments.empty() || value.empty()) {
    const int64_t n = conversation_.options().max_tokens;
    say(conversation_.sampling().describe(conversation_.model()) + ", n " +
        (n < 0 ? "without limit" : std::to_string(n)) + "\n");
    return;
  }
  if (name == "n") {
    const auto n = parse_whole(name, value, kMaxTokensRange);
    if (n) conversation_.options().max_tokens = *n;
    if (!n) say(n.error().message + "\n");
    return;
  }
  if (const auto result = conversation_.sampling().set(name, value); !result) {
    say(result.error().message + "\n");
  }
}

void Chat::set_system(const std::string& text) {
  conversation_.session().set_system(text);
  conversation_.session().reset();
  say(text.empty() ? "No system text; new conversation.\n"
                   : "System text set; new conversation.\n");
}

void Chat::clear() {
  conversation_.session().reset();
  say("New conversation.\n");
}

}  // namespace

int chat(Conversation* conversation, bool stats, const std::function<Result<void>()>& ready) {
  Chat chat(conversation, stats);
  if (const auto is_ready = ready(); !is_ready) return fail(is_ready.error());
  return chat.run();
}

}  // namespace nibble::cli
