// Q8_0 matmul by 256-bit VNNI (AVX-VNNI). The loops are in simd/matmul_ymm_inl.h.
#include <immintrin.h>

#include "simd/matmul_ymm_inl.h"
#include "simd/vnni_ymm_inl.h"

namespace nibble {
namespace {

struct Bytes {
  static constexpr size_t kBlockBytes = NIBBLE_Q8_0_BYTES;

  // Bytes are value + 128, taken off by starting at 16 * neg8.
  template <int T>
  static inline void block_sums(const uint8_t* groups, const uint8_t* x, const uint8_t* neg8,
                                __m256i (&sum)[T]) {
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      sum[t] = _mm256_slli_epi32(_mm256_set1_epi32(load_i32(neg8 + 4 * t)), 4);
    }
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) {
      const __m256i w = _mm256_loadu_si256((const __m256i*)(groups + 32 * g));
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        sum[t] = dot4_ymm(sum[t], w, broadcast4(x + NIBBLE_BLOCK * t + 4 * g));
      }
    }
  }
};

constexpr KernelEntry kEntries[] = {
    {.op = Op::kMatmul,
     .format = Format::kQ8_0,
     .activation = Activation::kQ8,
     .layout = Layout::kRows8Biased,
     .tile_n = 8,
     .fn = {.matmul = matmul_tiles<YmmTile<Bytes>>},
     .name = "q8_0"},
};

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(q8_0, nibble::kEntries);
