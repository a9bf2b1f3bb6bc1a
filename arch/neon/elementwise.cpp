// The element-wise kernels of this level; all of their code is in simd/elementwise_inl.h.
#include "simd/abi.h"
#include "simd/elementwise_inl.h"
#include "simd/vec16_neon_inl.h"

namespace nibble {
namespace {
using V = Vec16<NeonPart>;
}
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(elementwise, nibble::kElementwise<nibble::V>);
