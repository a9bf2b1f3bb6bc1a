// Which tensor of a Hugging Face model becomes which of a GGUF file, and how.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/gguf.h"
#include "tools/nibble/convert/checkpoint.h"
#include "tools/nibble/convert/hf_config.h"

namespace nibble::cli {

// What a tensor needs on its way; TensorPlan has the same.
struct TensorChange {
  uint64_t paired_rows = 0;
  float added = 0;
};

struct ConvertedTensors {
  std::vector<GgufTensor> tensors;
  std::unordered_map<std::string, TensorChange> changes;  // by GGUF name
  uint64_t vocabulary = 0;                                // rows of the embedding
  std::vector<std::string> notes;
};

// Takes every tensor that the configuration asks for. Data stay in the checkpoint, rope_freqs in
// `config`. Errors 65: one is missing, has another shape or type, or is not of this architecture.
Result<ConvertedTensors> convert_tensors(const Checkpoint& checkpoint, const HfConfig& config);

}  // namespace nibble::cli
