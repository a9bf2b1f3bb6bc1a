// Q4_0 matmul by 256-bit VNNI (AVX-VNNI). The loops are in simd/matmul_ymm_inl.h.
#include <immintrin.h>

#include "simd/matmul_ymm_inl.h"
#include "simd/vnni_ymm_inl.h"

namespace nibble {
namespace {

struct Nibbles {
  static constexpr size_t kBlockBytes = NIBBLE_Q4_0_BYTES;

  // Group g holds columns 4g.. in the low nibbles and 16 + 4g.. in the high ones; nibbles are
  // value + 8, taken off by starting at neg8.
  template <int T>
  static inline void block_sums(const uint8_t* groups, const uint8_t* x, const uint8_t* neg8,
                                __m256i (&sum)[T]) {
    const __m256i low = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) sum[t] = _mm256_set1_epi32(load_i32(neg8 + 4 * t));
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) {
      const __m256i bytes = _mm256_loadu_si256((const __m256i*)(groups + 32 * g));
      const __m256i lo = _mm256_and_si256(bytes, low);
      const __m256i hi = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        const uint8_t* q = x + NIBBLE_BLOCK * t + 4 * g;
        sum[t] = dot4_ymm(sum[t], lo, broadcast4(q));
        sum[t] = dot4_ymm(sum[t], hi, broadcast4(q + 16));
      }
    }
  }
};

constexpr KernelEntry kEntries[] = {
    {.op = Op::kMatmul,
     .format = Format::kQ4_0,
     .activation = Activation::kQ8,
     .layout = Layout::kRows8Biased,
     .tile_n = 8,
     .fn = {.matmul = matmul_tiles<YmmTile<Nibbles>>},
     .name = "q4_0"},
};

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(q4_0, nibble::kEntries);
