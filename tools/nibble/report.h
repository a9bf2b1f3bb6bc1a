// What a run cost and how far that is from what the machine can do: for --stats and --json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "nibble/nibble.h"

namespace nibble::cli {

struct RunFacts {
  double load_s = 0;
  uint64_t kv_bytes = 0;
  int64_t context = 0;
  Model::Placement placement = {};
  uint64_t seed = 0;
  std::optional<double> bandwidth_gb_per_s;  // that the machine reads, if measured
};

// GB/s that `threads` threads read from memory, measured now and in a process of its own, so that
// the memory it needs is not counted as ours. Takes about 0.3 s; nothing if it fails. No region of
// an engine may be running.
std::optional<double> measure_bandwidth_gb_per_s(int threads);

// {"text", "tokens", "steps", "stats"}, the scripts' contract.
nlohmann::ordered_json completion_json(const Completion& completion, const RunFacts& facts);

// Lines for a person.
std::string stats_text(const Completion& completion, const RunFacts& facts);

}  // namespace nibble::cli
