// A Hugging Face directory as if it were a GGUF file, for `nibble convert` to write.
// Read next: hf_config.h, hf_tensors.h, hf_tokenizer.h; checkpoint.h (the weights' files).
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/gguf.h"
#include "tools/nibble/convert/hf_tensors.h"

namespace nibble::cli {

struct HfModel {
  GgufFile file;  // its weights are still in the layout of Hugging Face
  std::unordered_map<std::string, TensorChange> changes;  // what they need, by name
  std::vector<float> rope_divisors;                       // data of a tensor of `file`
  std::vector<std::string> notes;
};

// Opens and checks everything. Errors: 66 a file is missing; 65 one is not what it should be.
Result<HfModel> open_hf_model(const std::string& folder);

}  // namespace nibble::cli
