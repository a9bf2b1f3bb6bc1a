// Attention and the KV-cache writer of this level; all of their code is in simd/attention_inl.h.
#include "simd/abi.h"
#include "simd/attention_inl.h"
#include "simd/vec16_neon_inl.h"

namespace nibble {
namespace {
using V = Vec16<NeonPart>;
}
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(attention, nibble::kAttention<nibble::V>);
