// What `nibble tune` found out, kept for loading: $XDG_CACHE_HOME/nibble/tuning.json (or under
// ~/.cache). A record is of one processor, set of CPUs, quota and version; any other is ignored.
// Read next: runtime/tuning.h, cmd_tune.cpp.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/tuning.h"

namespace nibble::cli {

struct Tuning {
  std::string date;  // "2026-11-29"
  TuneChoice choice;
  std::vector<TuneTrial> trials;  // the evidence
};

// Empty where neither XDG_CACHE_HOME nor HOME is set.
std::string tuning_path();

// The record of this machine. Nothing if there is none; `note` then says why a file that is there
// is ignored.
std::optional<Tuning> read_tuning(std::string* note);
// Whole or not at all; makes the folder. Errors: those of AtomicFile; 73 there is no place for it.
Result<void> write_tuning(const Tuning& tuning);

nlohmann::ordered_json tuning_json(const Tuning& tuning);
// "2 threads, 4 for prompts, avx2 (2026-11-29)"
std::string tuning_text(const Tuning& tuning);

// Sets of `options` what was found and is not set already. A level other than the default is said
// on stderr, as is a file that is ignored.
void apply_tuning(EngineOptions* options);

}  // namespace nibble::cli
