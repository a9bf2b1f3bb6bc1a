// The whole C++ API in one small program: load a model, answer a prompt as it is generated, stop on
// Ctrl-C. Build it against an installed nibble:
//
//   c++ -std=c++20 hello.cpp -o hello $(pkg-config --cflags --libs nibble)
//   ./hello gemma-3-1b-it-q4_0.gguf "Why is the sky blue?"
#include <atomic>
#include <csignal>
#include <cstdio>
#include <string_view>

#include "nibble/nibble.h"

namespace {

std::atomic<bool> interrupted{false};

int fail(const nibble::Error& error) {
  std::fprintf(stderr, "hello: %s\n", error.message.c_str());
  return static_cast<int>(error.code);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: hello MODEL.gguf PROMPT\n");
    return 64;
  }
  std::signal(SIGINT, [](int) { interrupted = true; });

  // The machine: its threads and its kernels. One per program.
  auto engine = nibble::Engine::create({});
  if (!engine) return fail(engine.error());
  // The weights, shared by any number of sessions.
  auto model = nibble::Model::load(*engine, argv[1]);
  if (!model) return fail(model.error());
  // One conversation.
  auto session = nibble::Session::create(*model, {});
  if (!session) return fail(session.error());

  nibble::GenerateOptions options;
  options.sampling = nibble::recommended_sampling(**model);
  options.max_tokens = 200;
  // Gets whole UTF-8 characters; returning false ends the answer. From another thread,
  // session->cancel() does the same.
  auto print = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    return !interrupted;
  };
  // A model without a chat template goes on with the text instead of answering it.
  auto done = (*model)->is_chat_model() ? (*session)->chat(argv[2], options, print)
                                        : (*session)->complete(argv[2], options, print);
  if (!done) return fail(done.error());

  std::printf("\n");
  const double rate =
      done->stats.decode_s > 0 ? done->stats.decode_tokens / done->stats.decode_s : 0;
  std::fprintf(stderr, "%zu tokens, %.1f tokens/s, stopped by %s\n", done->tokens.size(), rate,
               std::string(nibble::stop_reason_name(done->reason)).c_str());
  return 0;
}
