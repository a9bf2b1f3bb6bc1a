// Mistral Small 3.1 and Ministral 3 (Mistral AI 2025). Mistral 7B and Nemo files say "llama".
//
// Llama, with YaRN from the context of the pre-training to 16 times as much, and attention that
// sharpens beyond it: queries grow with the logarithm of how many such contexts lie behind them.
// Read next: llama.cpp, runtime/network.cpp.
#include "runtime/model/architecture.h"

namespace nibble {
namespace {

Result<Hyperparameters> read(const HyperReader& read) {
  NIBBLE_TRY(Hyperparameters h, read.common());
  NIBBLE_TRY(const double temperature, read.real("attention.temperature_scale", 0, 1e3, 0.0));
  NIBBLE_TRY(const size_t trained, read.size("rope.scaling.original_context_length", 1, 1ull << 31,
                                             static_cast<uint64_t>(h.shape.context)));
  h.temperature = static_cast<float>(temperature);
  h.temperature_length = static_cast<int64_t>(trained);
  return h;
}

}  // namespace

extern const Architecture k_architecture_mistral3;
const Architecture k_architecture_mistral3{"mistral3", read};

}  // namespace nibble
