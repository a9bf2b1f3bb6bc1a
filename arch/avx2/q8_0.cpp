// Q8_0 matmul without VNNI. The loops are in simd/matmul_ymm_inl.h.
//
// vpmaddubsw wants one operand unsigned: |w| * (x with the sign of w). It is exact, as |w| <= 128
// and |x| <= 127 keep a pair within 2 * 128 * 127 = 32512 (a weight of -128 is 128 unsigned). Two
// such pairs would overflow 16 bits, hence a vpmaddwd per group.
#include <immintrin.h>

#include "simd/matmul_ymm_inl.h"

namespace nibble {
namespace {

struct Bytes {
  static constexpr size_t kBlockBytes = NIBBLE_Q8_0_BYTES;

  template <int T>
  static inline void block_sums(const uint8_t* groups, const uint8_t* x, const uint8_t* /*neg8*/,
                                __m256i (&sum)[T]) {
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) {
      const __m256i w = _mm256_loadu_si256((const __m256i*)(groups + 32 * g));
      const __m256i magnitude = _mm256_abs_epi8(w);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        const __m256i q = _mm256_sign_epi8(broadcast4(x + NIBBLE_BLOCK * t + 4 * g), w);
        const __m256i four = _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, q), ones);
        sum[t] = g == 0 ? four : _mm256_add_epi32(sum[t], four);
        keep(sum[t]);
      }
    }
  }
};

constexpr KernelEntry kEntries[] = {
    {.op = Op::kMatmul,
     .format = Format::kQ8_0,
     .activation = Activation::kQ8,
     .layout = Layout::kRows8,
     .tile_n = 8,
     .fn = {.matmul = matmul_tiles<YmmTile<Bytes>>},
     .name = "q8_0"},
};

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(q8_0, nibble::kEntries);
