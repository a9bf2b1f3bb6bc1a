// Qwen 3 (Yang et al. 2025, arXiv:2505.09388), the dense ones: 0.6B to 32B.
//
// Qwen 2, with norms of each head's queries and keys in the place of the biases.
// Read next: qwen2.cpp, runtime/network.cpp.
#include "runtime/model/architecture.h"

namespace nibble {
namespace {

Result<Hyperparameters> read(const HyperReader& read) {
  NIBBLE_TRY(Hyperparameters h, read.common());
  h.rope_style = RopeStyle::kNeox;
  h.qk_norms = true;
  return h;
}

}  // namespace

extern const Architecture k_architecture_qwen3;
const Architecture k_architecture_qwen3{"qwen3", read};

}  // namespace nibble
