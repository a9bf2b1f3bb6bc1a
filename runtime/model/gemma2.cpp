// Gemma 2 (Gemma Team 2024, arXiv:2408.00118): 2B, 9B, 27B.
//
// Gemma, whose blocks are normed before and after; every other layer, from the first, sees a
// sliding window of 4096; scores are capped at 50 and logits at 30 by tanh.
// Read next: gemma3.cpp, runtime/network.cpp.
#include <cmath>

#include "runtime/model/architecture.h"

namespace nibble {
namespace {

Result<Hyperparameters> read(const HyperReader& read) {
  NIBBLE_TRY(Hyperparameters h, read.common());
  NIBBLE_TRY_VOID(read.windows(4096, 2, &h.shape));
  NIBBLE_TRY(const double attention_cap, read.real("attn_logit_softcapping", 0, 1e6, 50.0));
  NIBBLE_TRY(const double final_cap, read.real("final_logit_softcapping", 0, 1e6, 30.0));
  h.attention_softcap = static_cast<float>(attention_cap);
  h.final_softcap = static_cast<float>(final_cap);
  h.embedding_scale = std::sqrt(static_cast<float>(h.shape.embedding));
  // Scores are divided by sqrt(head_dim), but in 27B (46 layers) by sqrt(embedding / heads).
  if (h.shape.layers == 46) {
    h.attention_scale = 1 / std::sqrt(static_cast<float>(h.shape.embedding / h.shape.heads));
  }
  h.gate = Gate::kGelu;
  h.rope_style = RopeStyle::kNeox;
  h.post_norms = true;
  return h;
}

}  // namespace

extern const Architecture k_architecture_gemma2;
const Architecture k_architecture_gemma2{"gemma2", read};

}  // namespace nibble
