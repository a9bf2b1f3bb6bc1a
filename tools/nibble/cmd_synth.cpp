// nibble synth SHAPE OUT: a model of random weights. Read next: synth.h.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

#include "tools/nibble/command.h"
#include "tools/nibble/synth.h"

namespace nibble::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  nibble synth gemma3-1b /tmp/gemma3-1b.gguf
  nibble synth gemma3-4b /tmp/gemma3-4b.gguf --head q8_0 --seed 7

The file has the tensors, sizes and metadata of the model it is named after, and weights that mean
nothing: it measures speed and memory, it does not talk.)";

std::atomic<int> stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int signal) {
  stop_signal = signal;
}

// While it lives, Ctrl-C and kill set stop_signal instead of ending the program.
class SignalGuard {
 public:
  SignalGuard() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, &old_interrupt_);
    sigaction(SIGTERM, &action, &old_terminate_);
  }
  ~SignalGuard() {
    sigaction(SIGINT, &old_interrupt_, nullptr);
    sigaction(SIGTERM, &old_terminate_, nullptr);
  }
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

 private:
  struct sigaction old_interrupt_ {};
  struct sigaction old_terminate_ {};
};

// A bar on stderr, from the second second on, if that is a terminal.
class ProgressBar {
 public:
  ~ProgressBar() {
    if (drawn_) std::fprintf(stderr, "\r\033[K");
  }
  void draw(double fraction) {
    constexpr int kWidth = 40;
    constexpr auto kQuiet = std::chrono::seconds(1);
    if (!isatty(STDERR_FILENO) || std::chrono::steady_clock::now() - start_ < kQuiet) return;
    drawn_ = true;
    const int filled = static_cast<int>(fraction * kWidth);
    const std::string bar = std::string(filled, '=') + std::string(kWidth - filled, ' ');
    std::fprintf(stderr, "\r[%s] %3d %%", bar.c_str(), static_cast<int>(fraction * 100));
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool drawn_ = false;
};

struct SynthCommand {
  std::string shape;
  std::string path;
  std::string head = "f16";
  uint64_t seed = 0;
};

std::string shape_names() {
  std::string names;
  for (const SynthShape& shape : synth_shapes()) {
    names += (names.empty() ? "" : ", ") + std::string(shape.name);
  }
  return names;
}

int synth(const SynthCommand& command) {
  const SynthShape* shape = find_synth_shape(command.shape);
  if (shape == nullptr) {
    return fail(
        {ErrorCode::kUsage, "unknown shape \"" + command.shape + "\"; known: " + shape_names()});
  }
  SynthOptions options;
  options.head = command.head == "f16"    ? Format::kF16
                 : command.head == "q8_0" ? Format::kQ8_0
                                          : Format::kQ4_0;
  options.seed = command.seed;
  const SignalGuard guard;
  Result<void> result;
  {
    ProgressBar bar;
    options.progress = [&bar](double fraction) {
      bar.draw(fraction);
      return stop_signal == 0;
    };
    result = synthesize(*shape, options, command.path);
  }
  if (!result) {
    const int code = fail(result.error());
    return result.error().code == ErrorCode::kInterrupted ? 128 + stop_signal : code;
  }
  return 0;
}

}  // namespace

void add_synth(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<SynthCommand>();
  CLI::App* command =
      app.add_subcommand("synth", "Make a random-weight model in the shape of a known one");
  command->add_option("shape", options->shape, "One of: " + shape_names())
      ->required()
      ->type_name("SHAPE");
  command->add_option("out", options->path, "GGUF file to write")->required()->type_name("OUT");
  command->add_option("--head", options->head, "Format of embedding and output head (default f16)")
      ->check(CLI::IsMember({"f16", "q8_0", "q4_0"}))
      ->type_name("FORMAT");
  command->add_option("--seed", options->seed, "The same seed gives the same file (default 0)")
      ->check([](const std::string& text) {  // the parser would let -1 wrap
        return text.starts_with('-') ? "must be 0 to 18446744073709551615" : "";
      })
      ->type_name("S");
  command->footer(kExamples);
  command->callback([options, exit_code] { *exit_code = synth(*options); });
}

}  // namespace nibble::cli
