// Opening a model as `run` and `bench` do: machine options, progress, notes, Ctrl-C.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/nibble.h"
#include "tools/nibble/command.h"

namespace nibble::cli {

struct MachineChoice {
  std::optional<int64_t> context;
  std::optional<int64_t> threads;  // 0: auto
  std::optional<int64_t> prompt_threads;
  std::string cpus;
  std::string numa = "auto";
  std::vector<double> core_speeds;
  std::optional<int64_t> batch;
  std::string kv = "f16";
  std::string isa;
  std::string head = "auto";
  std::string tune = "auto";
  std::optional<uint64_t> memory;  // bytes

  void add_context_option(CLI::App* app);
  void add_options(CLI::App* app);  // the others but threads
  // Those of them that memory depends on.
  void add_planned_options(CLI::App* app, const char* group);
  void add_threads_option(CLI::App* app);
  void add_team_options(CLI::App* app);  // where threads run; part of add_options()
  // With what `nibble tune` found out, unless that is switched off; may print notes.
  EngineOptions engine_options() const;
  SessionOptions session_options() const;
  // With what session_options() says; its context where the command has none of its own.
  LoadOptions load_options() const;
};

// --memory SIZE, where the other options of the machine are not.
CLI::Option* add_memory_option(CLI::App* app, std::optional<uint64_t>* memory,
                               const std::string& description);

struct LoadedModel {
  std::shared_ptr<Engine> engine;
  std::shared_ptr<Model> model;
  double load_s = 0;
};

// Loads `path` with a progress bar; prints notes of engine and model to stderr. Error 130 after a
// signal. Needs install_signal_handlers(). The callback of `load` is set here.
Result<LoadedModel> load_model(const std::string& path, const EngineOptions& options,
                               LoadOptions load);
// The same on an engine that is there already, whose notes are not printed again.
Result<LoadedModel> load_model(const std::string& path, std::shared_ptr<Engine> engine,
                               LoadOptions load);

}  // namespace nibble::cli
