// Q4_0 matmul by 512-bit VNNI. The loops are in simd/matmul_zmm_inl.h.
#include <immintrin.h>

#include "simd/matmul_zmm_inl.h"

namespace nibble {
namespace {

struct Nibbles {
  static constexpr size_t kBlockBytes = NIBBLE_Q4_0_BYTES;

  // Group g holds columns 4g.. in the low nibbles and 16 + 4g.. in the high ones.
  static inline void unpack(const uint8_t* groups, __m512i (&q)[8]) {
    const __m512i low = _mm512_set1_epi8(15);
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) {
      __m512i bytes = _mm512_loadu_si512(groups + 64 * g);
      // Or GCC loads them twice, once for each half: the loads, two a cycle, are what limits.
      __asm__("" : "+v"(bytes));
      q[g] = _mm512_and_si512(bytes, low);
      q[g + 4] = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), low);
    }
  }

  // Nibbles are value + 8.
  static inline __m512i start(int32_t neg8) {
    return _mm512_set1_epi32(neg8);
  }
};

constexpr KernelEntry kEntries[] = {
    {.op = Op::kMatmul,
     .format = Format::kQ4_0,
     .activation = Activation::kQ8,
     .layout = Layout::kRows16Biased,
     .tile_n = 16,
     .fn = {.matmul = matmul_tiles<ZmmTile<Nibbles>>},
     .name = "q4_0"},
};

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(q4_0, nibble::kEntries);
