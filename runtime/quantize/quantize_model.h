// Quantises a whole model, file to file: plan first (what each tensor becomes), then do it.
//
// Tensors are streamed: slices of rows go through the team one after the other, so memory is a few
// megabytes whatever the model's size; the output appears whole or not at all (atomic_file.h).
// Bytes do not depend on the number of threads. Read next: mix.h, quantize_row.h.
#pragma once

#include <functional>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/gguf.h"
#include "runtime/machine/thread_team.h"
#include "runtime/ops/kernel_set.h"
#include "runtime/quantize/importance.h"
#include "runtime/quantize/mix.h"

namespace nibble {

struct TensorRule {
  std::string text;  // as given, for messages
  std::regex name;   // found anywhere in the tensor's name
  Format format;
};

struct QuantizeOptions {
  const Mix* mix = nullptr;
  std::vector<TensorRule> rules;  // the first that fits comes before the mix
  std::optional<Format> head;     // of embedding and output head
  const ImportanceMatrix* importance = nullptr;
  std::function<bool(double fraction)> progress;  // return false to stop; called in this thread
};

// What becomes of one tensor.
struct TensorPlan {
  const GgufTensor* tensor = nullptr;
  uint32_t type_id = 0;          // of the output
  std::optional<Format> format;  // empty: copied as it is
  std::optional<Format> wanted;  // what `format` stands in for, where rows do not fit
  const std::vector<float>* importance = nullptr;
  uint64_t bytes = 0;
  bool requantized = false;  // it was quantised before
  // What other files store differently, for `nibble convert`; only where `format` is set.
  uint64_t paired_rows = 0;  // of each so many rows, row 2i comes from i, 2i + 1 from the half + i
  float added = 0;           // to every weight
};

struct QuantizePlan {
  std::vector<TensorPlan> tensors;  // in file order
  uint64_t bytes = 0;               // of all tensors
};

// Errors: 65 a tensor's type cannot be read, an importance matrix of another model; 64 a rule's
// type does not fit a tensor.
Result<QuantizePlan> plan_quantization(const GgufFile& file, const QuantizeOptions& options,
                                       const KernelSet& kernels);

// Of what is stored against what was read.
struct TensorLoss {
  double rms = 0;       // root mean square of the differences
  double relative = 0;  // that over the root mean square of the weights; 0 for zeros
};

// The header of the file that the plan describes, without data: for what it will take of memory.
GgufFile quantized_header(const GgufFile& file, const QuantizePlan& plan);

// Writes the model; losses in the order of the plan. Errors: 65 a weight is not finite, or too
// large for the type; those of GgufWriter; 130 when `progress` stopped it.
Result<std::vector<TensorLoss>> quantize_model(const GgufFile& file, const QuantizePlan& plan,
                                               const QuantizeOptions& options, ThreadTeam& team,
                                               const KernelSet& kernels, const std::string& path);

}  // namespace nibble
