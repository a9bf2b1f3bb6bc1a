// Every block format without a dot product. The loops are in simd/matmul_neon_inl.h.
//
// smlal multiplies 8 pairs of bytes into 16 bits: 2 rows x 4 columns with 4 activations broadcast.
// As many groups are added there as 16 bits hold, all 8 of a block where values are up to 32,
// before neighbours are added in 32 bits.
#include <arm_neon.h>

#include "simd/abi.h"
#include "simd/matmul_neon_inl.h"

namespace nibble {
namespace {

struct Smlal {
  static constexpr bool kTimes16 = false;
  static constexpr bool kCodes = false;
  static constexpr int kTokens = 1;

  static inline void arrange(QuadBlock&) {}

  // Groups whose products fit in 16 bits: 8, 4 or 2.
  static constexpr int groups(const CodedForm& form) {
    int n = 8;
    while (n * 127 * largest_value(form) > 32767) n /= 2;
    return n;
  }

  // Held: groups in the products of rows 0, 1 (low) and 2, 3 (high) so far; sums of pairs of
  // columns beside one another.
  template <Format F, int G, int Last, int Held>
  static NIBBLE_INLINE void add(const QuadBlock& block, const uint8_t* x, int16x8_t low,
                                int16x8_t high, int32x4_t (&pairs)[2]) {
    if constexpr (G < Last) {
      const int8x16_t q = vreinterpretq_s8_s32(vdupq_n_s32(load_i32(x + 4 * G)));
      if constexpr (Held == 0) {
        low = vmull_s8(vget_low_s8(block[G]), vget_low_s8(q));
        high = vmull_high_s8(block[G], q);
      } else {
        low = vmlal_s8(low, vget_low_s8(block[G]), vget_low_s8(q));
        high = vmlal_high_s8(high, block[G], q);
      }
      if constexpr (Held + 1 == groups(block_form(F)) || G + 1 == Last) {
        pairs[0] = vpadalq_s16(pairs[0], low);
        pairs[1] = vpadalq_s16(pairs[1], high);
        add<F, G + 1, Last, 0>(block, x, low, high, pairs);
      } else {
        add<F, G + 1, Last, Held + 1>(block, x, low, high, pairs);
      }
    }
  }

  template <Format F, int First, int Last, int N>
  static NIBBLE_INLINE void sums(const QuadBlock& block, const uint8_t* x, float32x4_t (&sum)[N]) {
    int32x4_t pairs[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
    add<F, First, Last, 0>(block, x, vdupq_n_s16(0), vdupq_n_s16(0), pairs);
    sum[0] = vcvtq_f32_s32(vpaddq_s32(pairs[0], pairs[1]));
  }
};

template <Format F>
using Tile = NeonTile<F, Smlal, Smlal>;

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(matmul, nibble::kBlockMatmul<nibble::Tile>);
