// Phi 3, 3.5, 4 and 4-mini (Abdin et al. 2024, arXiv:2404.14219, arXiv:2412.08905).
//
// A pre-norm decoder with SwiGLU whose files hold Wq, Wk and Wv in one matrix and Wgate and Wup in
// another. Mini sees a window of 2047 in every layer (0: none, as in Phi 4); 4-mini rotates three
// quarters of each head. For 128k contexts LongRoPE (Ding et al. 2024, arXiv:2402.13753) brings two
// sets of divisors, for conversations within the context of the pre-training and beyond.
// Read next: runtime/network.cpp, the forward pass.
#include "runtime/model/architecture.h"

namespace nibble {
namespace {

Result<Hyperparameters> read(const HyperReader& read) {
  NIBBLE_TRY(Hyperparameters h, read.common());
  NIBBLE_TRY_VOID(read.windows(0, 0, &h.shape));
  h.rope_style = RopeStyle::kNeox;
  h.fused_matrices = true;
  return h;
}

}  // namespace

extern const Architecture k_architecture_phi3;
const Architecture k_architecture_phi3{"phi3", read};

}  // namespace nibble
