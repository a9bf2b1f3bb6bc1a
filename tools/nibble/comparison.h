// The table that `nibble compare` ends in, for people and scripts. Read next: cmd_compare.cpp.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "runtime/judge/scores.h"

namespace nibble::cli {

// One model of a comparison; the first is the reference of the others.
struct ComparedModel {
  std::string name;
  uint64_t file_bytes = 0;
  double bits_per_weight = 0;
  Estimate perplexity;
  std::optional<DivergenceSummary> divergence;  // none for the reference
  std::optional<Estimate> won_back;  // of the last one's loss; none for the first and the last
  double prompt_tokens_per_s = 0;
  double decode_tokens_per_s = 0;
};

nlohmann::ordered_json comparison_json(const std::vector<ComparedModel>& models);
void print_comparison(const std::vector<ComparedModel>& models, bool markdown);

// What "won back" says, a sentence for each model that has it.
std::vector<std::string> won_back_text(const std::vector<ComparedModel>& models);

}  // namespace nibble::cli
