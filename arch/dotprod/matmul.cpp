// Every block format by SDOT. The loops are in simd/matmul_neon_inl.h.
#include "simd/abi.h"
#include "simd/dotprod_inl.h"

namespace nibble {
namespace {

template <Format F>
using Tile = NeonTile<F, Sdot, Sdot>;

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(matmul, nibble::kBlockMatmul<nibble::Tile>);
