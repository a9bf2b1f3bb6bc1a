// The int8 limit: SVE's sdot, 4 multiply-accumulates for each 32 bits of a vector.
#include <arm_sve.h>

#include "simd/abi.h"

namespace nibble {
namespace {

inline svint32_t dot(svint32_t sum, svint8_t w, svint8_t x) {
  sum = svdot_s32(sum, w, x);
  __asm__ volatile("" : "+w"(sum));  // or all chains are one
  return sum;
}

// A parameter for each chain, because SVE's types cannot stand in arrays.
template <class... Sum>
int32_t rounds_of(uint64_t rounds, Sum... sum) {
  const svint8_t w = svdup_n_s8((int8_t)(rounds & 15)), x = svdup_n_s8(3);
  for (uint64_t round = 0; round < rounds; ++round) {
    ((sum = dot(sum, w, x)), ...);
  }
  svint32_t all = svdup_n_s32(0);
  ((all = sveor_s32_x(svptrue_b32(), all, sum)), ...);
  return (int32_t)svaddv_s32(svptrue_b32(), all);
}

void peak(PeakArgs* a) {
  const svint32_t s = svindex_s32(0, 1);
  // More chains than latency (9) times pipes (2) of the A64FX.
  a->sink = rounds_of(a->rounds, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s);
  a->macs = a->rounds * 20 * svcntb();
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
