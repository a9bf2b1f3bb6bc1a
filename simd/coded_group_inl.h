// Unpacks the codes of a coded format: columns 4G .. 4G + 3 of all rows of a tile in one register.
//
// V is a machine's byte vector: Reg, kRows rows x 4 bytes, and load(p), mask(r, byte),
// add(r, byte), lookup(r, table, add), left<N>(r), right<N>(r) of 32-bit lanes, and
// merge(r, moved, byte) = r | (moved & byte). Read next: coded_form_inl.h, layout.h (the planes).
#pragma once

#include "simd/coded_form_inl.h"
#include "simd/inline_inl.h"

namespace nibble {
namespace {

// The form of any block format: of Q4_0 and Q8_0 (8 bits: bytes as they are) too.
constexpr CodedForm block_form(Format format) {
  if (format == Format::kQ4_0) return {32, 18, false, false, false, 4, 8, nullptr, 1, 1};
  if (format == Format::kQ8_0) return {32, 34, false, false, false, 8, 0, nullptr, 1, 1};
  return coded_form(format);
}

// Bit From of every lane moved to bit To.
template <class V, int From, int To>
NIBBLE_INLINE typename V::Reg moved(typename V::Reg r) {
  if constexpr (From > To) {
    return V::template right<From - To>(r);
  } else if constexpr (From < To) {
    return V::template left<To - From>(r);
  } else {
    return r;
  }
}

template <Format F, class V, int G>
NIBBLE_INLINE typename V::Reg coded_codes(const uint8_t* planes) {
  constexpr CodedForm kForm = coded_form(F);
  const uint8_t* pairs = planes + (has_nibbles(kForm) ? 16 * V::kRows : 0);
  const uint8_t* bits = pairs + (has_pairs(kForm) ? 8 * V::kRows : 0);
  typename V::Reg codes;
  if constexpr (has_nibbles(kForm)) {
    const auto bytes = V::load(planes + G % 4 * 4 * V::kRows);
    codes = V::mask(moved<V, G / 4 * 4, 0>(bytes), 15);
  }
  if constexpr (has_pairs(kForm)) {
    constexpr int kTo = has_nibbles(kForm) ? 4 : 0;
    const auto pair = moved<V, G % 4 * 2, kTo>(V::load(pairs + G / 4 * 4 * V::kRows));
    if constexpr (has_nibbles(kForm)) {
      codes = V::merge(codes, pair, 3 << kTo);
    } else {
      codes = V::mask(pair, 3);
    }
  }
  if constexpr (has_bits(kForm)) {
    constexpr int kTo = has_nibbles(kForm) ? 4 : 2;
    codes = V::merge(codes, moved<V, G, kTo>(V::load(bits)), 1 << kTo);
  }
  return codes;
}

// value(code) + Bias in each byte; Bias makes it unsigned where the instruction wants that.
template <Format F, class V, int G, int Bias>
NIBBLE_INLINE typename V::Reg coded_values(const uint8_t* planes) {
  constexpr CodedForm kForm = coded_form(F);
  const auto codes = coded_codes<F, V, G>(planes);
  if constexpr (kForm.table != nullptr) {
    return V::lookup(codes, kForm.table, Bias);
  } else if constexpr (Bias != kForm.offset) {
    return V::add(codes, Bias - kForm.offset);
  } else {
    return codes;
  }
}

// The bias of the unsigned operand of vpdpbusd. A half's sum starts at neg64, which takes off 64
// for nothing; a whole block's at neg8, shifted for any bias but 8. With a minimum values are
// codes.
constexpr int vnni_bias(const CodedForm& form) {
  if (form.minimum) return 0;
  if (form.split) return 64;
  if (form.table != nullptr) return 128;
  return form.offset < 8 ? 8 : form.offset;
}

// log2(bias / of), for powers of two: how far the panel's -of * sum is shifted to give -bias * sum.
constexpr int bias_shift(int bias, int of) {
  int shift = 0;
  for (; bias > of; bias /= 2) ++shift;
  for (; bias < of; bias *= 2) --shift;
  return shift;
}

}  // namespace
}  // namespace nibble
