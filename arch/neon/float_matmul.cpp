// Matrix products with float weights of this level; all of their code is in simd/dot_inl.h.
#include "simd/abi.h"
#include "simd/dot_inl.h"
#include "simd/vec16_neon_inl.h"

namespace nibble {
namespace {
using V = Vec16<NeonPart>;
}
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(float_matmul, nibble::kFloatMatmul<nibble::V>);
