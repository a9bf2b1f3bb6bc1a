// Packed layouts, one drawing each, and the functions that make them.
//
// kRowMajor      As in the file: row i starts at i * row_bytes(format, k). Used in place, from the
//                mapping. Q4_0 block: f16 d, then 16 bytes; byte j = element j | element j+16 << 4.
//                Q8_0 block: f16 d, then 32 int8.
//
// kRowsR...      R rows side by side (R = 8, 16), so that one register holds R rows x 4 columns and
//                the activations' 4 bytes come by broadcast; no horizontal sums. A tile is R rows
//                over the whole depth, tiles follow one another; per block of 32 columns:
//
//                  f16 d[R] | group 0: R x 4 bytes | group 1: R x 4 bytes | ...
//
//                group g holds bytes 4g .. 4g+3 of each row's block, row after row:
//                Q4_0 has 4 groups (columns 4g..4g+3 in the low nibbles, 16+4g.. in the high ones),
//                Q8_0 has 8 (columns 4g..4g+3). A tile is exactly as large as in the file; rows
//                beyond n are zero (scale 0).
//
// ...Biased      The same, but Q8_0 bytes are stored as value + 128 (unsigned), the form vpdpbusd
//                takes. Q4_0 nibbles are always 0..15 (value + 8).
//
// The coded formats (coded_form_inl.h: all of blocks but Q4_0 and Q8_0) in kRows8 and kRows16: a
// tile
//                is R rows over the whole depth; per span of 32 or 256 columns (the file's block):
//
//                  f16 d[R] | f16 minimum[R], if any | then for each 32 columns:
//                  int8 scale[R] or [2][R] | nibbles: 4 x R x 4 | pairs: 2 x R x 4 | bits: R x 4
//
//                Spans of 32 have no int8 scales. Of 256: one for 32 columns, or one for each 16,
//                or a scale and a minimum; Q2_K has both for each 16, minimum << 4 | scale in a
//                byte. Codes of 4 bits are nibbles as in Q4_0; 5 bits: nibbles, and bits (byte j,
//                bit g: column 4g + j); 6 bits: nibbles, and pairs (group h, byte j, bits 2i, 2i +
//                1: column 16h + 4i + j); 3 bits: pairs and bits; 2 bits: pairs. Against the file:
//                Q4_K 1.03, Q3_K 1.04, MXFP4 1.06, IQ4_XS 1.01, Q2_K Q4_1 Q5_K 1.00 to 1.05;
//                formats of grids grow to 4 bits: IQ3 1.26 to 1.41, IQ2 1.8 to 2.1, TQ1_0 1.4.
//
// ActivationPanel  Up to NIBBLE_PANEL tokens of Q8 activations, block-major. m tokens make
//                ceil(m / 16) panels; all have 16 tokens but the last, which has the rest (mt).
//                Per block of 32 columns, without padding:
//
//                  float d[mt] | int32 neg8[mt] | int8 q[mt][32] | int32 neg64[2][mt]
//
//                neg8 = -8 * sum(q): where the integer accumulator of a Q4_0 kernel starts, so that
//                the offset of the nibbles costs nothing; Q8_0 biased kernels start at 16 * neg8.
//                neg64 = -64 * sum(q) of columns 0 .. 15 and of 16 .. 31, for formats with a scale
//                for each 16 columns; other kernels do not touch its cache lines.
//                One token-block takes 48 bytes whatever mt is, so panel p starts at
//                p * NIBBLE_PANEL * k/32 * 48.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/abi.h"

namespace nibble {

// Bytes of a token's block of 32 in an activation panel.
inline constexpr size_t kPanelBlockBytes = sizeof(float) + 3 * sizeof(int32_t) + NIBBLE_BLOCK;

// Bytes of the Q8 activations of m tokens of depth k.
inline constexpr size_t activation_bytes(size_t m, size_t k) {
  return m * (k / NIBBLE_BLOCK) * kPanelBlockBytes;
}

// Rows per tile of a packed layout; 1 for kRowMajor.
size_t layout_rows(Layout layout);

// Bytes of n rows of depth k in a packed layout, the last tile padded.
size_t packed_bytes(Format format, Layout layout, size_t n, size_t k);

struct PackResult {
  bool finite = true;  // false: a scale is NaN or infinite
  size_t row = 0;      // where (first found), relative to the rows given
  size_t block = 0;
};

// Packs rows [0, n) of a row-major source into `dst` (packed_bytes() long). Call it for whole tiles
// at a time to share the work among threads. Formats: all of blocks; layouts: the packed ones,
// coded formats kRows8 and kRows16 only.
PackResult pack_rows(Format format, Layout layout, const void* src, size_t n, size_t k, void* dst);

}  // namespace nibble
