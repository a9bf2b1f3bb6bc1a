// The int8 limit: 128-bit smmla, 32 multiply-accumulates each.
#include <arm_neon.h>

#include "simd/abi.h"

namespace nibble {
namespace {

// More chains than latency (4) times pipes (4 in the largest cores), within 32 registers.
constexpr int kChains = 20;

void peak(PeakArgs* a) {
  const int8x16_t w = vdupq_n_s8((int8_t)(a->rounds & 15)), x = vdupq_n_s8(3);
  int32x4_t sum[kChains];
#pragma GCC unroll 20
  for (int i = 0; i < kChains; ++i) sum[i] = vdupq_n_s32(i);
  for (size_t round = 0; round < a->rounds; ++round) {
#pragma GCC unroll 20
    for (int i = 0; i < kChains; ++i) {
      sum[i] = vmmlaq_s32(sum[i], w, x);
      __asm__("" : "+w"(sum[i]));  // or GCC copies the sums about
    }
  }
#pragma GCC unroll 20
  for (int i = 1; i < kChains; ++i) sum[0] = veorq_s32(sum[0], sum[i]);
  a->sink = vaddvq_s32(sum[0]);
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
