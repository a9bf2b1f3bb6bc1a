// nibble pull NAME...: downloads models into the store. Read next: pulling.h, hub/pull.h.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "runtime/file/concat.h"
#include "tools/nibble/command.h"
#include "tools/nibble/hub/caches.h"
#include "tools/nibble/hub/sha256.h"
#include "tools/nibble/loading.h"
#include "tools/nibble/number_options.h"
#include "tools/nibble/pulling.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

constexpr const char* kExamples =
    R"(NAME: a short name (nibble list --all), a file of Hugging Face, or an address.
A download that was cut is continued by the same command. HF_TOKEN opens models
that want a sign-in; HF_ENDPOINT names a mirror, https_proxy a proxy.

Examples:
  nibble pull gemma3:1b
  nibble pull hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_0
  nibble pull hf:OWNER/REPO/FILE.gguf
  nibble pull https://example.org/model.gguf --sha256 SUM)";

struct PullChoice {
  std::vector<std::string> names;
  std::string endpoint;
  std::string sha256;
  std::optional<int64_t> connections;
  std::optional<int64_t> retries;
  std::optional<int64_t> stall;
  std::optional<uint64_t> memory;
};

Result<void> pull(const PullChoice& choice) {
  hub::PullOptions options = hub::pull_options_from_environment();
  if (!choice.endpoint.empty()) options.endpoint = choice.endpoint;
  options.sha256 = hub::lower(choice.sha256);
  if (!options.sha256.empty() && (!hub::is_sha256(options.sha256) || choice.names.size() != 1)) {
    return Error{
        ErrorCode::kUsage,
        "--sha256: 64 hexadecimal digits, for one address; the hub tells those of its files"};
  }
  options.connections = static_cast<int>(choice.connections.value_or(options.connections));
  options.retries = static_cast<int>(choice.retries.value_or(options.retries));
  options.stall_s = static_cast<int>(choice.stall.value_or(options.stall_s));
  LoadOptions load;
  load.memory_limit = choice.memory.value_or(0);
  for (const std::string& name : choice.names) {
    const auto parsed = hub::parse_model_name(name);
    const auto cached =
        parsed ? hub::find_in_caches(options.places, *parsed) : std::optional<hub::KnownModel>();
    if (cached) {
      std::fprintf(stderr, "nibble: %s is here already, in %s's cache: %s\n", name.c_str(),
                   cached->keeper.c_str(), cached->path.c_str());
      continue;
    }
    NIBBLE_TRY(const hub::Pulled pulled, pull_with_progress(name, options, Unfit::kAsk, load));
    if (pulled.was_here) {
      std::fprintf(stderr, "nibble: %s is here already: %s\n", pulled.model.name.c_str(),
                   pulled.model.path.c_str());
    }
  }
  return {};
}

}  // namespace

void add_pull(CLI::App& app, int* exit_code) {
  auto choice = std::make_shared<PullChoice>();
  CLI::App* command = app.add_subcommand("pull", "Download models by name");
  command->add_option("NAME", choice->names, "What to download")->required();
  command
      ->add_option("--endpoint", choice->endpoint, "Hub to ask (default: https://huggingface.co)")
      ->type_name("URL");
  command->add_option("--sha256", choice->sha256, "Sum that the file at an address must have")
      ->type_name("SUM");
  add_whole(command, "--connections", &choice->connections, {1, 16},
            "Parts to download at once (default: 4)");
  add_whole(command, "--retries", &choice->retries, {0, 100},
            "Tries more when nothing comes (default: 5)");
  add_whole(command, "--stall", &choice->stall, {1, 3600},
            "Seconds of silence that end a connection (default: 30)");
  add_memory_option(command, &choice->memory, "Ask before what needs more (default: what is here)");
  command->footer(kExamples);
  command->callback([choice, exit_code] {
    install_signal_handlers(3);
    const auto done = pull(*choice);
    *exit_code = done ? 0 : fail(done.error());
    if (!done && signal_exit_code() != 0) *exit_code = signal_exit_code();
  });
}

}  // namespace nibble::cli
