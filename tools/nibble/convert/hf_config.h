// config.json of a Hugging Face directory: which family a model is of, its hyperparameters as GGUF
// metadata, and the sizes that its tensors must have. Read next: hf_tensors.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"
#include "tools/nibble/convert/json_file.h"
#include "tools/nibble/convert/metadata.h"

namespace nibble::cli {

enum class Family { kGemma3, kLlama, kQwen2, kQwen3 };

struct HfConfig {
  Family family = Family::kLlama;
  std::string architecture;  // general.architecture
  uint64_t layers = 0, embedding = 0, feed_forward = 0;
  uint64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::optional<bool> tied;          // the output head is the embedding; nothing: not said
  std::vector<float> rope_divisors;  // of rope_freqs; empty: none
  std::vector<std::string> notes;
};

// Reads `json`, which came from the file `path`, and adds the hyperparameters' keys. Errors 65: an
// architecture that is not known, a key that is missing or out of range, a feature that the runtime
// does not have.
Result<HfConfig> read_hf_config(const std::string& path, const Json& json, Metadata* metadata);

}  // namespace nibble::cli
