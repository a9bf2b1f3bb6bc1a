// Gemma 3, text (Gemma Team 2025, arXiv:2503.19786): 270M, 1B, 4B, 12B, 27B.
//
// A decoder whose blocks are normed before and after; grouped-query attention with normed queries
// and keys; five layers of six see a sliding window and rotate at base 10,000, the sixth sees all
// and rotates at 1,000,000 (positions divided by 8 from 4B on). Norm weights in GGUF files already
// hold the paper's (1 + w). Read next: runtime/network.cpp, the forward pass.
#include <cmath>

#include "runtime/model/architecture.h"

namespace nibble {
namespace {

Result<Hyperparameters> read(const HyperReader& read) {
  NIBBLE_TRY(Hyperparameters h, read.common(1e6));
  NIBBLE_TRY_VOID(read.windows(0, 6, &h.shape));
  h.rope_local.n_rot = h.rope.n_rot;
  // Writers disagree on the name of the local base.
  for (const char* key : {"rope.freq_base_swa", "rope.local.freq_base", "rope.local_freq_base"}) {
    NIBBLE_TRY(h.rope_local.base, read.real(key, 2, 1e12, h.rope_local.base));
  }
  NIBBLE_TRY(const double attention_cap, read.real("attn_logit_softcapping", 0, 1e6, 0.0));
  NIBBLE_TRY(const double final_cap, read.real("final_logit_softcapping", 0, 1e6, 0.0));
  h.attention_softcap = static_cast<float>(attention_cap);
  h.final_softcap = static_cast<float>(final_cap);
  h.embedding_scale = std::sqrt(static_cast<float>(h.shape.embedding));
  // Scores are divided by sqrt(head_dim), but in 27B (62 layers) by sqrt(embedding / heads).
  if (h.shape.layers == 62) {
    h.attention_scale = 1 / std::sqrt(static_cast<float>(h.shape.embedding / h.shape.heads));
  }
  h.gate = Gate::kGelu;
  h.rope_style = RopeStyle::kNeox;
  h.qk_norms = true;
  h.post_norms = true;
  return h;
}

}  // namespace

extern const Architecture k_architecture_gemma3;
const Architecture k_architecture_gemma3{"gemma3", read};

}  // namespace nibble
