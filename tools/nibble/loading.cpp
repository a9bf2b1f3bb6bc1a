#include "tools/nibble/loading.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "tools/nibble/model_file.h"
#include "tools/nibble/number_options.h"
#include "tools/nibble/output.h"
#include "tools/nibble/progress_bar.h"
#include "tools/nibble/signals.h"
#include "tools/nibble/tuning_file.h"

namespace nibble::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) print_note(note);
}

constexpr const char* kGroup =
    "Machine (threads, batch, KV cache, head, instruction set, memory limit, tuning)";

// $XDG_CACHE_HOME/nibble or ~/.cache/nibble; empty where there is no home.
std::string cache_directory() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return std::string(cache) + "/nibble";
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? std::string(home) + "/.cache/nibble" : std::string();
}

Result<int64_t> parse_threads(const std::string& name, const std::string& text) {
  if (text == "auto") return 0;
  NIBBLE_TRY(const int64_t count, parse_whole(name, text, {1, 1024}));
  return count;
}

}  // namespace

void MachineChoice::add_context_option(CLI::App* app) {
  add_whole(app, "-c,--context", &context, {1, int64_t{1} << 24},
            "Tokens to hold (default: the model's, up to 4096)");
}

void MachineChoice::add_threads_option(CLI::App* app) {
  add_parsed(app, "-t,--threads", &threads, "Threads (default: performance cores it may use)",
             parse_threads);
}

void MachineChoice::add_team_options(CLI::App* app) {
  add_whole(app, "--prompt-threads", &prompt_threads, {1, 1024}, "")->group(kGroup);
  app->add_option("--cpus", cpus, "")->option_text("0-3,8")->group(kGroup);
  app->add_option("--numa", numa, "")->option_text("auto|off|0,1")->group(kGroup);
  app->add_option("--core-speeds", core_speeds, "")
      ->delimiter(',')
      ->check(CLI::Range(0.01, 1.0))
      ->option_text("0.4,1")
      ->group(kGroup);
}

void MachineChoice::add_options(CLI::App* app) {
  add_team_options(app);
  add_planned_options(app, kGroup);
  add_memory_option(app, &memory, "")->group(kGroup);
  app->add_option("--tune", tune, "")
      ->check(CLI::IsMember({"auto", "off"}))
      ->option_text("auto|off")
      ->group(kGroup);
}

void MachineChoice::add_planned_options(CLI::App* app, const char* group) {
  add_whole(app, "--batch", &batch, {1, 65536}, "")->group(group);
  app->add_option("--kv", kv, "")
      ->check(CLI::IsMember({"f16", "q8_0", "q4_0", "f32"}))
      ->option_text("f16|q8_0|q4_0|f32")
      ->group(group);
  app->add_option("--head", head, "")
      ->check(CLI::IsMember({"auto", "exact"}))
      ->option_text("auto|exact")
      ->group(group);
  app->add_option("--isa", isa, "")->type_name("LEVEL")->group(group);
}

CLI::Option* add_memory_option(CLI::App* app, std::optional<uint64_t>* memory,
                               const std::string& description) {
  return add_parsed(app, "--memory", memory, description, parse_bytes)->type_name("SIZE");
}

EngineOptions MachineChoice::engine_options() const {
  EngineOptions options;
  options.threads = static_cast<int>(threads.value_or(0));
  options.isa = isa;
  options.prompt_threads = static_cast<int>(prompt_threads.value_or(0));
  options.cpus = cpus;
  options.numa = numa;
  options.core_speeds = core_speeds;
  options.cache_directory = cache_directory();
  if (tune == "auto") apply_tuning(&options);
  // What is best on the whole machine says nothing of a part of it.
  if (!cpus.empty() || numa != "auto") options.threads = static_cast<int>(threads.value_or(0));
  return options;
}

SessionOptions MachineChoice::session_options() const {
  SessionOptions options;
  options.context = context.value_or(options.context);
  options.batch = batch.value_or(options.batch);
  if (kv == "f32") options.kv = KvFormat::kF32;
  if (kv == "q8_0") options.kv = KvFormat::kQ8_0;
  if (kv == "q4_0") options.kv = KvFormat::kQ4_0;
  return options;
}

LoadOptions MachineChoice::load_options() const {
  LoadOptions options;
  options.head = head == "exact" ? HeadMode::kExact : HeadMode::kScreened;
  options.memory_limit = memory.value_or(0);
  options.session = session_options();
  return options;
}

Result<LoadedModel> load_model(const std::string& path, const EngineOptions& options,
                               LoadOptions load) {
  NIBBLE_TRY(const std::string file, model_file(path, load));  // before the threads of an engine
  const auto start = Clock::now();
  NIBBLE_TRY(auto engine, Engine::create(options));
  print_notes(engine->notes());
  const double engine_s = seconds_since(start);
  NIBBLE_TRY(LoadedModel loaded, load_model(file, std::move(engine), std::move(load)));
  loaded.load_s += engine_s;
  return loaded;
}

Result<LoadedModel> load_model(const std::string& path, std::shared_ptr<Engine> engine,
                               LoadOptions load) {
  NIBBLE_TRY(const std::string file, model_file(path, load));
  const auto start = Clock::now();
  LoadedModel loaded;
  loaded.engine = std::move(engine);
  {
    ProgressBar bar("loading");
    load.progress = [&bar](double fraction) {
      bar.update(fraction);
      return signal_exit_code() == 0;
    };
    NIBBLE_TRY(loaded.model, Model::load(loaded.engine, file, load));
  }
  if (signal_exit_code() != 0) return Error{ErrorCode::kInterrupted, "interrupted while loading"};
  loaded.load_s = seconds_since(start);
  print_notes(loaded.model->notes());
  return loaded;
}

}  // namespace nibble::cli
