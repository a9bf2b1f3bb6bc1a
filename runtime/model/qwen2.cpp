// Qwen 2 and 2.5 (Yang et al. 2024, arXiv:2407.10671, arXiv:2412.15115): 0.5B to 72B.
//
// A pre-norm decoder with grouped-query attention and SwiGLU, whose queries, keys and values have
// biases; rotations pair halves (i, i + n/2). Contexts beyond 32768 come by YaRN, where the file
// says so. Read next: runtime/network.cpp, the forward pass.
#include "runtime/model/architecture.h"

namespace nibble {
namespace {

Result<Hyperparameters> read(const HyperReader& read) {
  NIBBLE_TRY(Hyperparameters h, read.common());
  h.rope_style = RopeStyle::kNeox;
  h.qkv_biases = true;
  return h;
}

}  // namespace

extern const Architecture k_architecture_qwen2;
const Architecture k_architecture_qwen2{"qwen2", read};

}  // namespace nibble
