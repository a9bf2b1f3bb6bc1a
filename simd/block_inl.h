// Block formats and activation panels as the plain kernels read them. layout.h has the drawings.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "simd/abi.h"
#include "simd/half_inl.h"

namespace nibble {

// Bytes of one block of 32 weights, row-major.
#define NIBBLE_Q4_0_BYTES 18
#define NIBBLE_Q8_0_BYTES 34
// Bytes of one token's block in an activation panel.
#define NIBBLE_PANEL_BLOCK_BYTES (sizeof(float) + 3 * sizeof(int32_t) + NIBBLE_BLOCK)

// f16 scale at the head of a Q4_0 or Q8_0 block (any alignment).
static inline float block_scale(const uint8_t* block) {
  uint16_t half;
  memcpy(&half, block, sizeof(half));
  return f32_from_f16(half);
}

// One token's block of 32 activations.
typedef struct TokenBlock {
  float scale;
  int32_t neg8;  // -8 * sum(q)
  const int8_t* q;
  int32_t neg64[2];  // -64 * sum(q[0 .. 15]), -64 * sum(q[16 .. 31])
} TokenBlock;

// Block b of token t of consecutive panels that hold m tokens of `blocks` blocks each.
static inline TokenBlock token_block(const void* panels, size_t m, size_t blocks, size_t t,
                                     size_t b) {
  const size_t first = t / NIBBLE_PANEL * NIBBLE_PANEL;
  const size_t mt = m - first < NIBBLE_PANEL ? m - first : NIBBLE_PANEL;
  const uint8_t* base =
      (const uint8_t*)panels + (first * blocks + b * mt) * NIBBLE_PANEL_BLOCK_BYTES;
  const size_t slot = t - first;
  TokenBlock block;
  memcpy(&block.scale, base + slot * sizeof(float), sizeof(float));
  memcpy(&block.neg8, base + mt * sizeof(float) + slot * sizeof(int32_t), sizeof(int32_t));
  block.q = (const int8_t*)(base + mt * (sizeof(float) + sizeof(int32_t)) + slot * NIBBLE_BLOCK);
  const uint8_t* halves = base + mt * (sizeof(float) + sizeof(int32_t) + NIBBLE_BLOCK);
  for (size_t h = 0; h < 2; ++h) {
    memcpy(&block.neg64[h], halves + (h * mt + slot) * sizeof(int32_t), sizeof(int32_t));
  }
  return block;
}

}  // namespace nibble
