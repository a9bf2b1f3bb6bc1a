// Q8_0 matmul by 512-bit VNNI. The loops are in simd/matmul_zmm_inl.h.
#include <immintrin.h>

#include "simd/matmul_zmm_inl.h"

namespace nibble {
namespace {

struct Bytes {
  static constexpr size_t kBlockBytes = NIBBLE_Q8_0_BYTES;

  static inline void unpack(const uint8_t* groups, __m512i (&q)[8]) {
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) q[g] = _mm512_loadu_si512(groups + 64 * g);
  }

  // Bytes are value + 128. (Shifting the starts of all tokens at once through memory was slower.)
  static inline __m512i start(int32_t neg8) {
    return _mm512_slli_epi32(_mm512_set1_epi32(neg8), 4);
  }
};

constexpr KernelEntry kEntries[] = {
    {.op = Op::kMatmul,
     .format = Format::kQ8_0,
     .activation = Activation::kQ8,
     .layout = Layout::kRows16Biased,
     .tile_n = 16,
     .fn = {.matmul = matmul_tiles<ZmmTile<Bytes>>},
     .name = "q8_0"},
};

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(q8_0, nibble::kEntries);
