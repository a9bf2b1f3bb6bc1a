// What `nibble quantize` prints: the plan before, the summary after.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "runtime/quantize/quantize_model.h"

namespace nibble::cli {

struct QuantizeSummary {
  const GgufFile* file = nullptr;
  const QuantizePlan* plan = nullptr;
  std::string mix;
  std::string output;                  // empty: nothing was written
  std::span<const TensorLoss> losses;  // empty: nothing was written
  double seconds = 0;
};

// Notes for a person: tensors that were quantised before, rows that do not fit, no importances.
void print_quantize_notes(const QuantizeSummary& summary);

// A row per tensor, then the sizes; `every_tensor` false leaves the rows out.
void print_quantize_table(const QuantizeSummary& summary, bool every_tensor);

nlohmann::ordered_json quantize_json(const QuantizeSummary& summary);

}  // namespace nibble::cli
