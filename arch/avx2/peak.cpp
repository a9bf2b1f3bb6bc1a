// The int8 limit without VNNI: vpmaddubsw and the addition of its result, 32 multiply-accumulates.
#include <immintrin.h>

#include "simd/abi.h"

namespace nibble {
namespace {

constexpr int kChains = 12;

void peak(PeakArgs* a) {
  const __m256i u = _mm256_set1_epi8((char)(a->rounds & 15));
  __m256i s = _mm256_set1_epi8(3);
  __m256i sum[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum[i] = _mm256_set1_epi16((short)i);
  for (size_t round = 0; round < a->rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) {
      __asm__ volatile("" : "+x"(s));  // or one product would serve all
      sum[i] = _mm256_add_epi16(sum[i], _mm256_maddubs_epi16(u, s));
      __asm__("" : "+x"(sum[i]));  // or GCC copies the sums about
    }
  }
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) sum[0] = _mm256_xor_si256(sum[0], sum[i]);
  a->sink = _mm_cvtsi128_si32(_mm256_castsi256_si128(sum[0]));
  a->macs = a->rounds * kChains * 32;
}

constexpr KernelEntry kEntries[] = {
    {.op = Op::kPeak,
     .format = Format::kF32,
     .activation = Activation::kNone,
     .layout = Layout::kRowMajor,
     .tile_n = 1,
     .fn = {.peak = peak},
     .name = "peak"},
};

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(peak, nibble::kEntries);
