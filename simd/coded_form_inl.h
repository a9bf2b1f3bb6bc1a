// Coded formats: what all block formats but Q4_0 and Q8_0 have in common, as a table.
//
// Such a format stores, for 32 columns, integer codes of 2 to 6 bits and one or two scales:
//
//   weight = scale * value(code) - minimum        value(code) = code - offset, or table[code]
//
// In formats of 256 columns a scale is the product of an f16 and a small integer (and so is the
// minimum). Reading, packing and multiplying follow this table; so a format is one row here and one
// function that reads its bits. Read next: coded_read_inl.h, layout.h (how codes are packed).
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "simd/abi.h"

namespace nibble {

typedef struct CodedForm {
  int span;             // columns in a block of the file: 32, or 256 with integer scales
  int file_bytes;       // of such a block
  bool split;           // one scale for each 16 columns, not 32
  bool minimum;         // there is a minimum for each scale
  bool bf16;            // the scale is packed as bf16: it is any power of two
  int bits;             // of a code: 2, 3, 4, 5, 6
  int offset;           // value = code - offset, where table is null
  const int8_t* table;  // of 16 values, or null
  float factor;         // a power of two: scale = f16 * integer * factor
  float min_sign;       // 1: the minimum is subtracted; -1: added
} CodedForm;

static constexpr int8_t kValuesIQ4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};
static constexpr int8_t kValuesMXFP4[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};
// Codes of the IQ3 and IQ2 formats: a level of the grid's, and the sign in bit 3.
static constexpr int8_t kValuesIQ3_S[16] = {1,  3,  5,  7,  9,  11,  13,  15,
                                            -1, -3, -5, -7, -9, -11, -13, -15};
static constexpr int8_t kValuesIQ3_XXS[16] = {4,  12,  20,  28,  36,  44,  52,  62,
                                              -4, -12, -20, -28, -36, -44, -52, -62};
static constexpr int8_t kValuesIQ2[16] = {8, 25, 43, 0, 0, 0, 0, 0, -8, -25, -43, 0, 0, 0, 0, 0};

// The form of a coded format; span 0 for all others.
static constexpr CodedForm coded_form(Format format) {
  switch (format) {
    case Format::kQ4_1:
      return {32, 20, false, true, false, 4, 0, nullptr, 1, -1};
    case Format::kQ5_0:
      return {32, 22, false, false, false, 5, 16, nullptr, 1, 1};
    case Format::kQ5_1:
      return {32, 24, false, true, false, 5, 0, nullptr, 1, -1};
    case Format::kQ2_K:
      return {256, 84, true, true, false, 2, 0, nullptr, 1, 1};
    case Format::kQ3_K:
      return {256, 110, true, false, false, 3, 4, nullptr, 1, 1};
    case Format::kQ4_K:
      return {256, 144, false, true, false, 4, 0, nullptr, 1, 1};
    case Format::kQ5_K:
      return {256, 176, false, true, false, 5, 0, nullptr, 1, 1};
    case Format::kQ6_K:
      return {256, 210, true, false, false, 6, 32, nullptr, 1, 1};
    case Format::kIQ4_NL:
      return {32, 18, false, false, false, 4, 0, kValuesIQ4, 1, 1};
    case Format::kIQ4_XS:
      return {256, 136, false, false, false, 4, 0, kValuesIQ4, 1, 1};
    case Format::kIQ3_S:
      return {256, 110, false, false, false, 4, 0, kValuesIQ3_S, 1, 1};
    case Format::kIQ3_XXS:
      return {256, 98, false, false, false, 4, 0, kValuesIQ3_XXS, 0.25f, 1};
    case Format::kIQ2_XXS:
      return {256, 66, false, false, false, 4, 0, kValuesIQ2, 0.125f, 1};
    case Format::kIQ2_XS:
      return {256, 74, true, false, false, 4, 0, kValuesIQ2, 0.125f, 1};
    case Format::kIQ2_S:
      return {256, 82, true, false, false, 4, 0, kValuesIQ2, 0.125f, 1};
    case Format::kTQ1_0:
      return {256, 54, false, false, false, 2, 1, nullptr, 1, 1};
    case Format::kTQ2_0:
      return {256, 66, false, false, false, 2, 1, nullptr, 1, 1};
    case Format::kMXFP4:
      return {32, 17, false, false, true, 4, 0, kValuesMXFP4, 1, 1};
    default:
      return {0, 0, false, false, false, 0, 0, nullptr, 0, 0};
  }
}

// Planes of packed codes: nibbles (16 bytes of a row's 32 columns), pairs of bits (8), bits (4).
static constexpr bool has_nibbles(const CodedForm& form) {
  return form.bits >= 4;
}
static constexpr bool has_pairs(const CodedForm& form) {
  return form.bits == 2 || form.bits == 3 || form.bits == 6;
}
static constexpr bool has_bits(const CodedForm& form) {
  return form.bits == 3 || form.bits == 5;
}
static constexpr size_t code_bytes(const CodedForm& form) {
  return (has_nibbles(form) ? 16u : 0u) + (has_pairs(form) ? 8u : 0u) + (has_bits(form) ? 4u : 0u);
}
// Bytes of a row at the head of a span: f16 scale, f16 minimum.
static constexpr size_t coded_head_bytes(const CodedForm& form) {
  return form.minimum ? 4 : 2;
}
// Bytes of a row's integer scales and minima for 32 columns. Both, and split: two nibbles a byte.
static constexpr size_t coded_scale_bytes(const CodedForm& form) {
  return form.span == 32 ? 0 : form.split || form.minimum ? 2 : 1;
}
static constexpr size_t coded_block_bytes(const CodedForm& form) {
  return coded_scale_bytes(form) + code_bytes(form);
}
static constexpr size_t coded_span_bytes(const CodedForm& form) {
  return coded_head_bytes(form) +
         static_cast<size_t>(form.span) / NIBBLE_BLOCK * coded_block_bytes(form);
}

static constexpr int coded_value(const CodedForm& form, int code) {
  return form.table != nullptr ? form.table[code] : code - form.offset;
}

}  // namespace nibble
