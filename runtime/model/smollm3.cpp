// SmolLM3 (Hugging Face 2025). SmolLM and SmolLM2 files say "llama".
//
// Llama, but every fourth layer does not encode positions at all (NoPE, Yang et al. 2025,
// arXiv:2501.18795), which helps with long contexts. Read next: llama.cpp, runtime/network.cpp.
#include "runtime/model/architecture.h"

namespace nibble {
namespace {

Result<Hyperparameters> read(const HyperReader& read) {
  constexpr size_t kPeriod = 4;
  NIBBLE_TRY(Hyperparameters h, read.common());
  for (size_t i = 0; i < h.shape.layers; ++i) h.no_rope.push_back(i % kPeriod == kPeriod - 1);
  return h;
}

}  // namespace

extern const Architecture k_architecture_smollm3;
const Architecture k_architecture_smollm3{"smollm3", read};

}  // namespace nibble
