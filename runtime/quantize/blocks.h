// A function per format: writes one block. Read next: quantize_row.cpp (the table of them).
#pragma once

#include "runtime/quantize/fit.h"

namespace nibble {

// The weights of one block and their importances; `out` is block_bytes long.
using QuantizeBlock = void (*)(BlockView block, uint8_t* out);

// blocks.cpp: 32 weights, a scale (and a minimum) as halves.
void to_q4_0(BlockView block, uint8_t* out);
void to_q4_1(BlockView block, uint8_t* out);
void to_q5_0(BlockView block, uint8_t* out);
void to_q5_1(BlockView block, uint8_t* out);
void to_q8_0(BlockView block, uint8_t* out);
void to_iq4_nl(BlockView block, uint8_t* out);

// super_blocks_offset.cpp: 256 weights, scales and minimums as small integers.
void to_q2_k(BlockView block, uint8_t* out);
void to_q4_k(BlockView block, uint8_t* out);
void to_q5_k(BlockView block, uint8_t* out);

// super_blocks.cpp: 256 weights, scales as small integers.
void to_q3_k(BlockView block, uint8_t* out);
void to_q6_k(BlockView block, uint8_t* out);
void to_iq4_xs(BlockView block, uint8_t* out);

// Little-endian half.
inline void put_half(float value, uint8_t* out) {
  const uint16_t half = f16_from_f32(value);
  out[0] = static_cast<uint8_t>(half);
  out[1] = static_cast<uint8_t>(half >> 8);
}

}  // namespace nibble
