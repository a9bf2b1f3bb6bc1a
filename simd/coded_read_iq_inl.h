// Reads blocks of the IQ2 and IQ3 formats, and finds the reader of any coded format.
//
// 8 (IQ2) or 4 (IQ3) neighbouring weights are one entry of a grid; signs are stored apart, for some
// formats 7 bits for 8 weights, the eighth making their number even. Read next: coded_read_inl.h,
// coded_grids_inl.h.
#pragma once

#include "simd/coded_grids_inl.h"
#include "simd/coded_read_inl.h"

namespace nibble {

// 8 signs from 7 stored bits: an even number of them is set.
static inline uint32_t even_signs(uint32_t bits) {
  return bits | (uint32_t)(__builtin_popcount(bits) & 1) << 7;
}

// Codes of 8 columns: 2-bit levels of a grid entry, and their signs.
static inline void put_iq2(uint32_t entry, uint32_t signs, uint8_t* code) {
  for (size_t j = 0; j < 8; ++j) {
    code[j] = (uint8_t)((entry >> (2 * j) & 3) | (signs >> j & 1) << 3);
  }
}

// Codes of 8 columns: 3-bit levels of two grid entries, and their signs.
static inline void put_iq3(uint32_t first, uint32_t second, uint32_t signs, uint8_t* code) {
  const uint32_t entries = first | second << 12;
  for (size_t j = 0; j < 8; ++j) {
    code[j] = (uint8_t)((entries >> (3 * j) & 7) | (signs >> j & 1) << 3);
  }
}

// f16 d; for each block 4 bytes of grid indices, then a word: 4 x 7 signs, 4 bits of scale.
static inline void read_iq2_xxs(const uint8_t* p, size_t b, CodedBlock* out) {
  const uint8_t* index = p + 2 + 8 * b;
  const uint32_t word = load_u32(index + 4);
  const int scale = (int)(2 * (word >> 28) + 1);
  out->d = load_u16(p);
  out->dmin = 0;
  set_scales(out, scale, scale, 0, 0);
  for (size_t i = 0; i < 4; ++i) {
    put_iq2(kGridIQ2_XXS[index[i]], even_signs(word >> (7 * i) & 127), out->code + 8 * i);
  }
}

// f16 d; 32 words of 9 bits of index and 7 signs; 8 bytes of two scales.
static inline void read_iq2_xs(const uint8_t* p, size_t b, CodedBlock* out) {
  const uint8_t scales = p[66 + b];
  out->d = load_u16(p);
  out->dmin = 0;
  set_scales(out, 2 * (scales & 15) + 1, 2 * (scales >> 4) + 1, 0, 0);
  for (size_t i = 0; i < 4; ++i) {
    const uint32_t word = load_u16(p + 2 + 8 * b + 2 * i);
    put_iq2(kGridIQ2_XS[word & 511], even_signs(word >> 9), out->code + 8 * i);
  }
}

// f16 d; 32 bytes of indices, 32 of signs, 8 of the indices' high bits, 8 of two scales.
static inline void read_iq2_s(const uint8_t* p, size_t b, CodedBlock* out) {
  const uint8_t scales = p[74 + b];
  out->d = load_u16(p);
  out->dmin = 0;
  set_scales(out, 2 * (scales & 15) + 1, 2 * (scales >> 4) + 1, 0, 0);
  for (size_t i = 0; i < 4; ++i) {
    const uint32_t high = (uint32_t)p[66 + b] >> (2 * i) & 3;
    put_iq2(kGridIQ2_S[p[2 + 4 * b + i] | high << 8], p[34 + 4 * b + i], out->code + 8 * i);
  }
}

// f16 d; 64 bytes of indices; for each block a word: 4 x 7 signs, 4 bits of scale.
static inline void read_iq3_xxs(const uint8_t* p, size_t b, CodedBlock* out) {
  const uint8_t* index = p + 2 + 8 * b;
  const uint32_t word = load_u32(p + 66 + 4 * b);
  const int scale = (int)(2 * (word >> 28) + 1);
  out->d = load_u16(p);
  out->dmin = 0;
  set_scales(out, scale, scale, 0, 0);
  for (size_t i = 0; i < 4; ++i) {
    put_iq3(kGridIQ3_XXS[index[2 * i]], kGridIQ3_XXS[index[2 * i + 1]],
            even_signs(word >> (7 * i) & 127), out->code + 8 * i);
  }
}

// f16 d; 64 bytes of indices, 8 of their ninth bits, 32 of signs, 4 of two scales.
static inline void read_iq3_s(const uint8_t* p, size_t b, CodedBlock* out) {
  const uint8_t* index = p + 2 + 8 * b;
  const uint32_t ninth = p[66 + b];
  const int scale = 2 * (p[106 + b / 2] >> (b % 2 * 4) & 15) + 1;
  out->d = load_u16(p);
  out->dmin = 0;
  set_scales(out, scale, scale, 0, 0);
  for (size_t i = 0; i < 4; ++i) {
    const uint32_t first = index[2 * i] | (ninth >> (2 * i) & 1) << 8;
    const uint32_t second = index[2 * i + 1] | (ninth >> (2 * i + 1) & 1) << 8;
    put_iq3(kGridIQ3_S[first], kGridIQ3_S[second], p[74 + 4 * b + i], out->code + 8 * i);
  }
}

// Columns 32b .. 32b + 31 of the block at p.
template <Format F>
static inline void read_coded(const uint8_t* p, size_t b, CodedBlock* out) {
  if constexpr (F == Format::kQ4_1) read_q32<true, false>(p, out);
  if constexpr (F == Format::kQ5_0) read_q32<false, true>(p, out);
  if constexpr (F == Format::kQ5_1) read_q32<true, true>(p, out);
  if constexpr (F == Format::kQ2_K) read_q2_k(p, b, out);
  if constexpr (F == Format::kQ3_K) read_q3_k(p, b, out);
  if constexpr (F == Format::kQ4_K) read_q45_k<false>(p, b, out);
  if constexpr (F == Format::kQ5_K) read_q45_k<true>(p, b, out);
  if constexpr (F == Format::kQ6_K) read_q6_k(p, b, out);
  if constexpr (F == Format::kIQ4_NL) read_q32<false, false>(p, out);
  if constexpr (F == Format::kIQ4_XS) read_iq4_xs(p, b, out);
  if constexpr (F == Format::kIQ3_S) read_iq3_s(p, b, out);
  if constexpr (F == Format::kIQ3_XXS) read_iq3_xxs(p, b, out);
  if constexpr (F == Format::kIQ2_XXS) read_iq2_xxs(p, b, out);
  if constexpr (F == Format::kIQ2_XS) read_iq2_xs(p, b, out);
  if constexpr (F == Format::kIQ2_S) read_iq2_s(p, b, out);
  if constexpr (F == Format::kTQ1_0) read_tq1_0(p, b, out);
  if constexpr (F == Format::kTQ2_0) read_tq2_0(p, b, out);
  if constexpr (F == Format::kMXFP4) read_mxfp4(p, out);
}

}  // namespace nibble
