// What `perplexity` and `compare` share: which text, how it is cut, and reading it with a progress
// bar. Read next: cmd_perplexity.cpp, cmd_compare.cpp, runtime/judge/examinee.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "nibble/nibble.h"
#include "runtime/judge/examinee.h"
#include "tools/nibble/command.h"
#include "tools/nibble/loading.h"

namespace nibble::cli {

struct JudgeChoice {
  std::string text;  // a path
  std::optional<int64_t> ctx;
  std::optional<int64_t> chunks;
  MachineChoice machine;

  void add_options(CLI::App* command);
  // With room for what an Examinee holds.
  LoadOptions load_options(HeadMode head) const;
  // What was chosen, or 512 or what `model` can read, whichever is less.
  size_t ctx_for(const Model& model) const;
  size_t most_chunks() const { return static_cast<size_t>(chunks.value_or(0)); }
  Result<std::string> read() const;
};

// Has the models of `examination` read all chunks; the bar shows the perplexities so far. Signals
// end it with error 130.
Result<void> read_chunks(Examination* examination, const Chunks& chunks,
                         const Examination::OnSlice& on_slice);

// The file's name without folder and ".gguf": quantisations of one model share its own name.
std::string short_name(const Model& model);

// A number in printf's form.
std::string formatted(const char* pattern, double value);

// The scripts' contract: "mean", "median", "p90", "p99", "max", "same_top", "perplexity_ratio", and
// "..._stderr" of the means.
nlohmann::ordered_json divergence_json(const DivergenceSummary& summary);

}  // namespace nibble::cli
