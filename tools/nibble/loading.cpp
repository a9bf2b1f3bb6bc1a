#include "tools/nibble/loading.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include "tools/nibble/numbers.h"
#include "tools/nibble/progress_bar.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) std::fprintf(stderr, "nibble: note: %s\n", note.c_str());
}

}  // namespace

void MachineChoice::add_context_option(CLI::App* app) {
  add_whole(app, "-c,--context", &context, {1, int64_t{1} << 24},
            "Tokens it can hold (default: the model's, at most 4096)");
}

void MachineChoice::add_threads_option(CLI::App* app) {
  add_whole(app, "-t,--threads", &threads, {1, 1024},
            "Threads (default: the performance cores it may use)");
}

void MachineChoice::add_options(CLI::App* app) {
  constexpr const char* kGroup =
      "Machine (prompt batch, KV cache numbers, output head, instruction set)";
  add_whole(app, "--batch", &batch, {1, 65536}, "")->group(kGroup);
  app->add_option("--kv", kv, "")
      ->check(CLI::IsMember({"f16", "f32"}))
      ->option_text("f16|f32")
      ->group(kGroup);
  app->add_option("--head", head, "")
      ->check(CLI::IsMember({"auto", "exact"}))
      ->option_text("auto|exact")
      ->group(kGroup);
  app->add_option("--isa", isa, "")->type_name("LEVEL")->group(kGroup);
}

SessionOptions MachineChoice::session_options() const {
  SessionOptions options;
  options.context = context.value_or(options.context);
  options.batch = batch.value_or(options.batch);
  options.kv = kv == "f32" ? KvFormat::kF32 : KvFormat::kF16;
  return options;
}

HeadMode MachineChoice::head_mode() const {
  return head == "exact" ? HeadMode::kExact : HeadMode::kScreened;
}

Result<LoadedModel> load_model(const std::string& path, const EngineOptions& options,
                               HeadMode head) {
  const auto start = std::chrono::steady_clock::now();
  LoadedModel loaded;
  NIBBLE_TRY(loaded.engine, Engine::create(options));
  {
    ProgressBar bar("loading");
    LoadOptions load;
    load.head = head;
    load.progress = [&bar](double fraction) {
      bar.update(fraction);
      return signal_exit_code() == 0;
    };
    NIBBLE_TRY(loaded.model, Model::load(loaded.engine, path, load));
  }
  if (signal_exit_code() != 0) return Error{ErrorCode::kInterrupted, "interrupted while loading"};
  loaded.load_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  print_notes(loaded.engine->notes());
  print_notes(loaded.model->notes());
  return loaded;
}

}  // namespace nibble::cli
