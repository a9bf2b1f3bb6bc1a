// Every block format by SMMLA, a single token by SDOT. The loops are in simd/matmul_neon_inl.h.
//
// smmla multiplies 2 rows x 8 columns by 8 columns x 2 tokens. Rows are paired once a block for all
// tokens; two tokens' activations are paired for each 4 rows, which costs half as many instructions
// as there are products. What is left of the gain: 20 vector instructions for a block of 4 rows and
// 2 tokens, against 22 by SDOT.
#include <arm_neon.h>

#include "simd/abi.h"
#include "simd/dotprod_inl.h"

namespace nibble {
namespace {

struct Smmla {
  static constexpr bool kTimes16 = true;
  static constexpr int kTokens = 2;

  // Registers 2i and 2i + 1, columns 8i .. 8i + 3 and 8i + 4 .. 8i + 7 of rows 0 .. 3, become
  // columns 8i .. 8i + 7 of rows 0, 1 and of rows 2, 3.
  static inline void arrange(QuadBlock& block) {
    unroll<4>([&](auto i) {
      const int32x4_t first = vreinterpretq_s32_s8(block[2 * i]);
      const int32x4_t second = vreinterpretq_s32_s8(block[2 * i + 1]);
      block[2 * i] = vreinterpretq_s8_s32(vzip1q_s32(first, second));
      block[2 * i + 1] = vreinterpretq_s8_s32(vzip2q_s32(first, second));
    });
  }

  // Columns 16 H .. 16 H + 15 of tokens a, b.
  template <int H>
  static inline void add(const QuadBlock& block, const int8_t* a, const int8_t* b,
                         int32x4_t (&rows)[2]) {
    const int64x2_t from_a = vreinterpretq_s64_s8(vld1q_s8(a + 16 * H));
    const int64x2_t from_b = vreinterpretq_s64_s8(vld1q_s8(b + 16 * H));
    const int8x16_t low = vreinterpretq_s8_s64(vzip1q_s64(from_a, from_b));
    const int8x16_t high = vreinterpretq_s8_s64(vzip2q_s64(from_a, from_b));
    rows[0] = vmmlaq_s32(rows[0], block[4 * H], low);
    rows[1] = vmmlaq_s32(rows[1], block[4 * H + 1], low);
    rows[0] = vmmlaq_s32(rows[0], block[4 * H + 2], high);
    rows[1] = vmmlaq_s32(rows[1], block[4 * H + 3], high);
  }

  template <Format F, int First, int Last, int N>
  static NIBBLE_INLINE void sums(const QuadBlock& block, const uint8_t* x, float32x4_t (&sum)[N]) {
    const int8_t* a = (const int8_t*)x;
    const int8_t* b = N == 2 ? a + NIBBLE_BLOCK : a;
    int32x4_t rows[2];
    sum_starts<F>(rows);
    add<First / 4>(block, a, b, rows);
    if constexpr (First == 0 && Last == 8) add<1>(block, a, b, rows);
    // Rows 0, 1 and 2, 3 have the two tokens beside one another.
    sum[0] = float_sum<F>(vuzp1q_s32(rows[0], rows[1]));
    if constexpr (N == 2) sum[1] = float_sum<F>(vuzp2q_s32(rows[0], rows[1]));
  }
};

template <Format F>
using Tile = NeonTile<F, Smmla, Sdot>;

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(matmul, nibble::kBlockMatmul<nibble::Tile>);
