// Q4_0, the reference: matmul on row-major blocks as in the file, and dequantisation.
//
// A block is f16 d, then 16 bytes: byte j holds element j (low nibble) and j + 16 (high), each as
// value + 8. Read next: simd/layout.h, simd/block_inl.h.
#include <math.h>

#include "simd/abi.h"
#include "simd/block_inl.h"

namespace nibble {
namespace {

int32_t dot(const uint8_t* nibbles, const int8_t* q) {
  int32_t sum = 0;
  for (size_t j = 0; j < NIBBLE_BLOCK / 2; ++j) {
    sum += ((nibbles[j] & 15) - 8) * q[j] + ((nibbles[j] >> 4) - 8) * q[j + NIBBLE_BLOCK / 2];
  }
  return sum;
}

void matmul(const MatmulArgs* a) {
  const size_t blocks = a->k / NIBBLE_BLOCK;
  for (size_t i = 0; i < a->n; ++i) {
    const uint8_t* row = static_cast<const uint8_t*>(a->w) + i * blocks * NIBBLE_Q4_0_BYTES;
    for (size_t t = 0; t < a->m; ++t) {
      float acc = 0;
      for (size_t b = 0; b < blocks; ++b) {
        const uint8_t* block = row + b * NIBBLE_Q4_0_BYTES;
        const TokenBlock x = token_block(a->x, a->m, blocks, t, b);
        acc = fmaf(static_cast<float>(dot(block + 2, x.q)), block_scale(block) * x.scale, acc);
      }
      a->y[t * a->y_stride + i] = acc;
    }
  }
}

void dequantize(const DequantizeArgs* a) {
  const uint8_t* block = static_cast<const uint8_t*>(a->src);
  for (size_t i = 0; i < a->k; i += NIBBLE_BLOCK, block += NIBBLE_Q4_0_BYTES) {
    const float scale = block_scale(block);
    for (size_t j = 0; j < NIBBLE_BLOCK / 2; ++j) {
      a->dst[i + j] = scale * static_cast<float>((block[2 + j] & 15) - 8);
      a->dst[i + j + NIBBLE_BLOCK / 2] = scale * static_cast<float>((block[2 + j] >> 4) - 8);
    }
  }
}

constexpr KernelEntry kEntries[] = {
    {.op = Op::kMatmul,
     .format = Format::kQ4_0,
     .activation = Activation::kQ8,
     .layout = Layout::kRowMajor,
     .tile_n = 1,
     .fn = {.matmul = matmul},
     .name = "q4_0"},
    {.op = Op::kDequantizeRow,
     .format = Format::kQ4_0,
     .activation = Activation::kNone,
     .layout = Layout::kRowMajor,
     .tile_n = 1,
     .fn = {.dequantize = dequantize},
     .name = "dequantize_q4_0"},
};

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(q4_0, nibble::kEntries);
