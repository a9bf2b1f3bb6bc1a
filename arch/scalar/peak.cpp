// The int8 limit of what a compiler makes of plain C++: a dot product from the first cache.
#include "simd/abi.h"

namespace nibble {
namespace {

constexpr int kSize = 512;

void peak(PeakArgs* a) {
  int8_t x[kSize];
  int8_t y[kSize];
  for (int i = 0; i < kSize; ++i) x[i] = y[i] = (int8_t)(i & 15);
  int32_t sum = 0;
  for (size_t round = 0; round < a->rounds; ++round) {
    x[round % kSize] ^= 1;
    for (int i = 0; i < kSize; ++i) sum += x[i] * y[i];
  }
  a->sink = sum;
  a->macs = a->rounds * kSize;
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
