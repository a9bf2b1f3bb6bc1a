// Memory and speed of models before they are loaded, or downloaded: what `nibble plan` shows.
//
// A model is a file's header, or a known shape in one of the community's types. Read next:
// runtime/memory_plan.h (the arithmetic), cmd_plan.cpp.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"
#include "runtime/memory_plan.h"
#include "tools/nibble/synth.h"

namespace nibble::cli {

// The two measured limits of a machine, with its default threads.
struct MachineSpeed {
  int threads = 0;
  double read_gb_per_s = 0;
  double int8_gmac_per_s = 0;
};

// What is reached of these limits; tools/docs/decisions/0013-memory-plan.md.
inline constexpr double kDecodeShare = 0.8;
inline constexpr double kPromptShare = 0.4;

// A type as files are offered in: a mix, and the format of embedding and head if not the mix's.
struct OfferedType {
  std::string_view name;
  std::string_view mix;
  std::optional<Format> head;
};
std::span<const OfferedType> offered_types();

struct PlannedModel {
  std::string name;  // "gemma3-1b", or a file
  std::string type;  // "Q4_K_M"; empty for a file
  uint64_t tensor_bytes = 0;
  ModelMemory memory;
};

// A known shape as such a file.
Result<PlannedModel> plan_shape(const SynthShape& shape, const OfferedType& type,
                                const KernelSet& kernels);
// A file, of which nothing but the header is read.
Result<PlannedModel> plan_file(const std::string& path, const KernelSet& kernels, HeadMode head);

// Tokens per second to expect: decoding behind `depth` tokens, and of a long prompt (nothing for
// float weights, whose limit is not measured).
double expected_decode(const PlannedModel& model, const SessionMemory& session, int64_t depth,
                       const MachineSpeed& speed);
std::optional<double> expected_prompt(const PlannedModel& model, const MachineSpeed& speed);

}  // namespace nibble::cli
