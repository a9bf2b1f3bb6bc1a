// Gemma (Gemma Team 2024, arXiv:2403.08295): 2B, 7B.
//
// A pre-norm decoder with heads of 256 whatever the width, GELU for the gate, and embeddings times
// sqrt(width), tied to the head. Norm weights in GGUF files already hold the paper's (1 + w).
// Read next: gemma2.cpp, runtime/network.cpp.
#include <cmath>

#include "runtime/model/architecture.h"

namespace nibble {
namespace {

Result<Hyperparameters> read(const HyperReader& read) {
  NIBBLE_TRY(Hyperparameters h, read.common());
  h.embedding_scale = std::sqrt(static_cast<float>(h.shape.embedding));
  h.gate = Gate::kGelu;
  h.rope_style = RopeStyle::kNeox;
  return h;
}

}  // namespace

extern const Architecture k_architecture_gemma;
const Architecture k_architecture_gemma{"gemma", read};

}  // namespace nibble
