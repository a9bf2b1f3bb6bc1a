// The int8 limit: 512-bit vpdpbusd, 64 multiply-accumulates each.
#include <immintrin.h>

#include "simd/abi.h"

namespace nibble {
namespace {

// More chains than latency (5) times ports (2), so that the ports are what limits.
constexpr int kChains = 16;

void peak(PeakArgs* a) {
  const __m512i u = _mm512_set1_epi8((char)(a->rounds & 15));
  const __m512i s = _mm512_set1_epi8(3);
  __m512i sum[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_epi32(i);
  for (size_t round = 0; round < a->rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) {
      sum[i] = _mm512_dpbusd_epi32(sum[i], u, s);
      __asm__("" : "+v"(sum[i]));  // or GCC copies the sums about
    }
  }
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) sum[0] = _mm512_xor_si512(sum[0], sum[i]);
  a->sink = _mm_cvtsi128_si32(_mm512_castsi512_si128(sum[0]));
  a->macs = a->rounds * kChains * 64;
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
