// The weights of a Hugging Face directory: model.safetensors, or the shards that
// model.safetensors.index.json lists. Read next: hf_tensors.h.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "tools/nibble/convert/safetensors.h"

namespace nibble::cli {

struct CheckpointTensor {
  SafetensorsTensor tensor;
  uint16_t shard = 0;  // index in Checkpoint::mappings
};

struct Checkpoint {
  std::string folder;
  std::vector<std::unique_ptr<Mapping>> mappings;
  std::map<std::string, CheckpointTensor> tensors;
};

// Errors: 66 no directory, no weights in it, a shard is missing; 65 an index or a shard that is not
// what it should be.
Result<Checkpoint> open_checkpoint(const std::string& folder);

}  // namespace nibble::cli
