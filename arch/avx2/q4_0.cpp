// Q4_0 matmul without VNNI. The loops are in simd/matmul_ymm_inl.h.
//
// vpmaddubsw adds pairs of u8 x s8 products into 16 bits and saturates; nibbles are at most 15 and
// activations at most 127, so a block's 16 products a lane stay within 16 * 15 * 127 = 30480 and
// the 8 groups can be added in 16 bits, with a single vpmaddwd to 32 bits at the end.
#include <immintrin.h>

#include "simd/matmul_ymm_inl.h"

namespace nibble {
namespace {

struct Nibbles {
  static constexpr size_t kBlockBytes = NIBBLE_Q4_0_BYTES;

  // Group g holds columns 4g.. in the low nibbles and 16 + 4g.. in the high ones.
  template <int T>
  static inline void block_sums(const uint8_t* groups, const uint8_t* x, const uint8_t* neg8,
                                __m256i (&sum)[T]) {
    const __m256i low = _mm256_set1_epi8(15);
    __m256i pairs[T];
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) {
      const __m256i bytes = _mm256_loadu_si256((const __m256i*)(groups + 32 * g));
      const __m256i lo = _mm256_and_si256(bytes, low);
      const __m256i hi = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        const uint8_t* q = x + NIBBLE_BLOCK * t + 4 * g;
        const __m256i first = _mm256_maddubs_epi16(lo, broadcast4(q));
        pairs[t] = g == 0 ? first : _mm256_add_epi16(pairs[t], first);
        keep(pairs[t]);
        pairs[t] = _mm256_add_epi16(pairs[t], _mm256_maddubs_epi16(hi, broadcast4(q + 16)));
        keep(pairs[t]);
      }
    }
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      const __m256i offset = _mm256_set1_epi32(load_i32(neg8 + 4 * t));
      sum[t] = _mm256_add_epi32(_mm256_madd_epi16(pairs[t], ones), offset);
    }
  }
};

constexpr KernelEntry kEntries[] = {
    {.op = Op::kMatmul,
     .format = Format::kQ4_0,
     .activation = Activation::kQ8,
     .layout = Layout::kRows8,
     .tile_n = 8,
     .fn = {.matmul = matmul_tiles<YmmTile<Nibbles>>},
     .name = "q4_0"},
};

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(q4_0, nibble::kEntries);
