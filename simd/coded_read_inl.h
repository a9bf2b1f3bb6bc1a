// Reads blocks of the coded formats as they lie in a file: 32 columns at a time, as integers.
//
// Source: the block structures of the GGUF specification's types. The formats of grids (IQ2, IQ3)
// are in coded_read_iq_inl.h. Read next: coded_form_inl.h (what the integers mean).
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simd/coded_form_inl.h"
#include "simd/half_inl.h"

namespace nibble {

// 32 columns of one row. weight = f(d) * factor * scale * value(code) - f(dmin) * minimum
typedef struct CodedBlock {
  uint16_t d;     // f16, or bf16 where the form says so
  uint16_t dmin;  // f16
  int scale[2];   // of columns 0 .. 15 and 16 .. 31; 1 in formats of 32 columns
  int minimum[2];
  uint8_t code[NIBBLE_BLOCK];
} CodedBlock;

static inline uint16_t load_u16(const uint8_t* p) {
  uint16_t value;
  memcpy(&value, p, sizeof(value));
  return value;
}

static inline uint32_t load_u32(const uint8_t* p) {
  uint32_t value;
  memcpy(&value, p, sizeof(value));
  return value;
}

// Byte j: code j in the low nibble, j + 16 in the high one.
static inline void read_nibbles(const uint8_t* bytes, CodedBlock* out) {
  for (size_t j = 0; j < 16; ++j) {
    out->code[j] = bytes[j] & 15;
    out->code[j + 16] = bytes[j] >> 4;
  }
}

// Adds bit j of `bits` to code j, as its bit 4.
static inline void read_fifth_bits(uint32_t bits, CodedBlock* out) {
  for (size_t j = 0; j < NIBBLE_BLOCK; ++j) {
    out->code[j] = (uint8_t)(out->code[j] | ((bits >> j & 1) << 4));
  }
}

static inline void set_scales(CodedBlock* out, int scale0, int scale1, int min0, int min1) {
  out->scale[0] = scale0;
  out->scale[1] = scale1;
  out->minimum[0] = min0;
  out->minimum[1] = min1;
}

// f16 d, [f16 m], [32 bits], 16 bytes of nibbles.
template <bool Minimum, bool FifthBits>
static inline void read_q32(const uint8_t* p, CodedBlock* out) {
  out->d = load_u16(p);
  out->dmin = Minimum ? load_u16(p + 2) : 0;
  p += Minimum ? 4 : 2;
  set_scales(out, 1, 1, -1, -1);
  read_nibbles(p + (FifthBits ? 4 : 0), out);
  if (FifthBits) read_fifth_bits(load_u32(p), out);
}

// uint8 e, 16 bytes of nibbles; the scale is 2^(e-128), the table holds twice the values.
static inline void read_mxfp4(const uint8_t* p, CodedBlock* out) {
  out->d = (uint16_t)(p[0] < 2 ? 0x0020 << p[0] : (p[0] - 1) << 7);
  out->dmin = 0;
  set_scales(out, 1, 1, 0, 0);
  read_nibbles(p + 1, out);
}

// f16 d, dmin; 12 bytes: 8 scales and 8 minima of 6 bits; [32 bytes: bit b of byte j is the fifth
// bit of column j of block b]; 128 bytes: 32 of low nibbles of block 2i and high ones of 2i + 1.
template <bool FifthBits>
static inline void read_q45_k(const uint8_t* p, size_t b, CodedBlock* out) {
  const uint8_t* s = p + 4;
  const uint8_t* fifth = p + 16;
  const uint8_t* nibbles = p + (FifthBits ? 48 : 16) + b / 2 * 32;
  out->d = load_u16(p);
  out->dmin = load_u16(p + 2);
  const int scale = b < 4 ? s[b] & 63 : (s[b + 4] & 15) | (s[b - 4] >> 6) << 4;
  const int minimum = b < 4 ? s[b + 4] & 63 : s[b + 4] >> 4 | (s[b] >> 6) << 4;
  set_scales(out, scale, scale, minimum, minimum);
  for (size_t j = 0; j < NIBBLE_BLOCK; ++j) {
    const int low = nibbles[j] >> (b % 2 * 4) & 15;
    out->code[j] = (uint8_t)(low | (FifthBits ? (fifth[j] >> b & 1) << 4 : 0));
  }
}

// 64 bytes of two bits: block b is in bits 2 (b % 4) of 32 bytes, the first or the second.
static inline void read_pairs(const uint8_t* pairs, size_t b, CodedBlock* out) {
  for (size_t j = 0; j < NIBBLE_BLOCK; ++j) {
    out->code[j] = pairs[b / 4 * 32 + j] >> (b % 4 * 2) & 3;
  }
}

// 16 bytes: scale in the low nibble, minimum in the high one; 64 bytes of two bits; f16 d, dmin.
static inline void read_q2_k(const uint8_t* p, size_t b, CodedBlock* out) {
  out->d = load_u16(p + 80);
  out->dmin = load_u16(p + 82);
  const uint8_t s0 = p[2 * b], s1 = p[2 * b + 1];
  set_scales(out, s0 & 15, s1 & 15, s0 >> 4, s1 >> 4);
  read_pairs(p + 16, b, out);
}

// Scale i of Q3_K's 16: the low 4 bits in bytes 0 .. 7, the high 2 in bytes 8 .. 11.
static inline int scale_q3_k(const uint8_t* s, size_t i) {
  return ((s[i % 8] >> (i / 8 * 4) & 15) | (s[8 + i % 4] >> (i / 4 * 2) & 3) << 4) - 32;
}

// 32 bytes: bit b of byte j is the third bit of column j of block b; 64 bytes of two bits; scales;
// f16 d.
static inline void read_q3_k(const uint8_t* p, size_t b, CodedBlock* out) {
  out->d = load_u16(p + 108);
  out->dmin = 0;
  set_scales(out, scale_q3_k(p + 96, 2 * b), scale_q3_k(p + 96, 2 * b + 1), 0, 0);
  read_pairs(p + 32, b, out);
  for (size_t j = 0; j < NIBBLE_BLOCK; ++j) {
    out->code[j] = (uint8_t)(out->code[j] | (p[j] >> b & 1) << 2);
  }
}

// Two halves of 128 columns: 64 bytes of nibbles (blocks 0, 1 low, 2, 3 high), 32 bytes of two high
// bits (block b in bits 2b); after both kinds 16 int8 scales and f16 d.
static inline void read_q6_k(const uint8_t* p, size_t b, CodedBlock* out) {
  const uint8_t* low = p + b / 4 * 64 + b % 2 * 32;
  const uint8_t* high = p + 128 + b / 4 * 32;
  const int8_t* scales = (const int8_t*)p + 192;
  out->d = load_u16(p + 208);
  out->dmin = 0;
  set_scales(out, scales[2 * b], scales[2 * b + 1], 0, 0);
  for (size_t j = 0; j < NIBBLE_BLOCK; ++j) {
    const int nibble = low[j] >> (b % 4 / 2 * 4) & 15;
    out->code[j] = (uint8_t)(nibble | (high[j] >> (b % 4 * 2) & 3) << 4);
  }
}

// f16 d, uint16 of 8 pairs of high bits of the scales, 4 bytes of their low nibbles, 128 bytes.
static inline void read_iq4_xs(const uint8_t* p, size_t b, CodedBlock* out) {
  out->d = load_u16(p);
  out->dmin = 0;
  const int low = p[4 + b / 2] >> (b % 2 * 4) & 15;
  const int scale = (low | (load_u16(p + 2) >> (2 * b) & 3) << 4) - 32;
  set_scales(out, scale, scale, 0, 0);
  read_nibbles(p + 8 + 16 * b, out);
}

// Five base-3 digits a byte, as a binary fraction: digit n is the integer part of 3^(n+1) * byte /
// 256, mod 3. 32 bytes hold columns 0 .. 159 (digit after digit), 16 hold 160 .. 239, 4 the rest.
static inline void read_tq1_0(const uint8_t* p, size_t b, CodedBlock* out) {
  static constexpr uint8_t kPower[5] = {1, 3, 9, 27, 81};
  out->d = load_u16(p + 52);
  out->dmin = 0;
  set_scales(out, 1, 1, 0, 0);
  for (size_t j = 0; j < NIBBLE_BLOCK; ++j) {
    const size_t column = NIBBLE_BLOCK * b + j;
    const size_t start = column < 160 ? 0 : column < 240 ? 160 : 240;
    const size_t width = column < 160 ? 32 : column < 240 ? 16 : 4;
    const size_t first = column < 160 ? 0 : column < 240 ? 32 : 48;
    const size_t digit = (column - start) / width;
    const uint8_t rest = (uint8_t)(p[first + (column - start) % width] * kPower[digit]);
    out->code[j] = (uint8_t)(rest * 3 >> 8);
  }
}

// 64 bytes of two bits, f16 d.
static inline void read_tq2_0(const uint8_t* p, size_t b, CodedBlock* out) {
  out->d = load_u16(p + 64);
  out->dmin = 0;
  set_scales(out, 1, 1, 0, 0);
  read_pairs(p, b, out);
}

}  // namespace nibble
