// Llama (Touvron et al. 2023, Dubey et al. 2024): Llama 2 and 3.x, SmolLM2, TinyLlama, Mistral 7B.
//
// A pre-norm decoder with grouped-query attention and SwiGLU. Converters permute the rows of Wq and
// Wk so that rotations pair neighbours (2i, 2i + 1). Llama 3.x files bring rope_freqs: one divisor
// per rotation. Where a file names a window (Mistral 7B v0.1, Jiang et al. 2023), every layer has
// it. Read next: runtime/network.cpp, the forward pass.
#include "runtime/model/architecture.h"

namespace nibble {
namespace {

Result<Hyperparameters> read(const HyperReader& read) {
  NIBBLE_TRY(Hyperparameters h, read.common());
  NIBBLE_TRY_VOID(read.windows(0, 0, &h.shape));
  return h;
}

}  // namespace

extern const Architecture k_architecture_llama;
const Architecture k_architecture_llama{"llama", read};

}  // namespace nibble
