// Opening a model as `run` and `bench` do: machine options, progress, notes, Ctrl-C.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "nibble/nibble.h"

namespace nibble::cli {

struct MachineChoice {
  std::optional<int64_t> context;
  std::optional<int64_t> threads;
  std::optional<int64_t> batch;
  std::string kv = "f16";
  std::string isa;
  std::string head = "auto";

  void add_context_option(CLI::App* app);
  void add_options(CLI::App* app);  // the others but threads
  void add_threads_option(CLI::App* app);
  SessionOptions session_options() const;
  HeadMode head_mode() const;
};

struct LoadedModel {
  std::shared_ptr<Engine> engine;
  std::shared_ptr<Model> model;
  double load_s = 0;
};

// Loads `path` with a progress bar; prints notes of engine and model to stderr. Error 130 after a
// signal. Needs install_signal_handlers().
Result<LoadedModel> load_model(const std::string& path, const EngineOptions& options,
                               HeadMode head);

}  // namespace nibble::cli
