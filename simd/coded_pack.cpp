#include "simd/coded_pack.h"

#include <cstring>

#include "simd/coded_read_iq_inl.h"

namespace nibble {
namespace {

// Where row r's four bytes go in a plane of groups of `tile` rows x 4 bytes.
uint8_t* group_at(uint8_t* plane, size_t tile, size_t group, size_t r) {
  return plane + (group * tile + r) * 4;
}

// Byte j of the nibbles' group g: columns 4g + j (low) and 16 + 4g + j (high).
void put_nibbles(const uint8_t* code, size_t tile, size_t r, uint8_t* plane) {
  for (size_t g = 0; g < 4; ++g) {
    uint8_t* to = group_at(plane, tile, g, r);
    for (size_t j = 0; j < 4; ++j) {
      to[j] = static_cast<uint8_t>((code[4 * g + j] & 15) | (code[16 + 4 * g + j] & 15) << 4);
    }
  }
}

// Byte j of the pairs' group h: bits `from`, from + 1 of columns 16h + j, + 4, + 8, + 12.
void put_pairs(const uint8_t* code, int from, size_t tile, size_t r, uint8_t* plane) {
  for (size_t h = 0; h < 2; ++h) {
    uint8_t* to = group_at(plane, tile, h, r);
    for (size_t j = 0; j < 4; ++j) {
      const uint8_t* c = code + 16 * h + j;
      to[j] = static_cast<uint8_t>((c[0] >> from & 3) | (c[4] >> from & 3) << 2 |
                                   (c[8] >> from & 3) << 4 | (c[12] >> from & 3) << 6);
    }
  }
}

// Byte j: bit `from` of columns j, 4 + j, ... 28 + j.
void put_bits(const uint8_t* code, int from, size_t tile, size_t r, uint8_t* plane) {
  uint8_t* to = group_at(plane, tile, 0, r);
  for (size_t j = 0; j < 4; ++j) {
    int byte = 0;
    for (size_t g = 0; g < 8; ++g) byte |= (code[4 * g + j] >> from & 1) << g;
    to[j] = static_cast<uint8_t>(byte);
  }
}

template <Format F>
void put_block(const CodedBlock& block, size_t tile, size_t r, uint8_t* dst) {
  constexpr CodedForm kForm = coded_form(F);
  constexpr size_t kScaleBytes = coded_scale_bytes(kForm);
  if constexpr (kForm.span > NIBBLE_BLOCK) {
    for (size_t h = 0; h < kScaleBytes; ++h) {
      int value = block.scale[h];
      if (kForm.split && kForm.minimum) {
        value = block.scale[h] | block.minimum[h] << 4;
      } else if (kForm.minimum && h == 1) {
        value = block.minimum[0];
      }
      dst[h * tile + r] = static_cast<uint8_t>(value);
    }
    dst += kScaleBytes * tile;
  }
  if constexpr (has_nibbles(kForm)) {
    put_nibbles(block.code, tile, r, dst);
    dst += 16 * tile;
  }
  if constexpr (has_pairs(kForm)) {
    put_pairs(block.code, has_nibbles(kForm) ? 4 : 0, tile, r, dst);
    dst += 8 * tile;
  }
  if constexpr (has_bits(kForm)) put_bits(block.code, has_nibbles(kForm) ? 4 : 2, tile, r, dst);
}

bool finite(uint16_t half) {
  return (half & 0x7c00) != 0x7c00;
}

template <Format F>
bool pack_tile(size_t tile, const uint8_t* src, size_t rows, size_t k, uint8_t* dst) {
  constexpr CodedForm kForm = coded_form(F);
  constexpr size_t kBlocks = static_cast<size_t>(kForm.span) / NIBBLE_BLOCK;
  const size_t spans = k / static_cast<size_t>(kForm.span);
  if (rows < tile) std::memset(dst, 0, tile * spans * coded_span_bytes(kForm));
  bool all_finite = true;
  for (size_t s = 0; s < spans; ++s, dst += tile * coded_span_bytes(kForm)) {
    for (size_t r = 0; r < rows; ++r) {
      const uint8_t* from = src + (r * spans + s) * static_cast<size_t>(kForm.file_bytes);
      uint8_t* to = dst + tile * coded_head_bytes(kForm);
      CodedBlock block;
      for (size_t b = 0; b < kBlocks; ++b, to += tile * coded_block_bytes(kForm)) {
        read_coded<F>(from, b, &block);
        put_block<F>(block, tile, r, to);
      }
      std::memcpy(dst + 2 * r, &block.d, 2);
      if (kForm.minimum) std::memcpy(dst + 2 * (tile + r), &block.dmin, 2);
      all_finite &= kForm.bf16 || (finite(block.d) && finite(block.dmin));
    }
  }
  return all_finite;
}

using PackTile = bool (*)(size_t, const uint8_t*, size_t, size_t, uint8_t*);

// Calls pack_tile<F> for the format, whichever it is.
template <int F>
PackTile pack_tile_for(Format format) {
  if constexpr (F < static_cast<int>(Format::kCount)) {
    constexpr Format kFormat = static_cast<Format>(F);
    if constexpr (coded_form(kFormat).span != 0) {
      if (format == kFormat) return pack_tile<kFormat>;
    }
    return pack_tile_for<F + 1>(format);
  }
  return nullptr;
}

}  // namespace

bool pack_coded_tile(Format format, size_t tile, const uint8_t* src, size_t rows, size_t k,
                     uint8_t* dst) {
  return pack_tile_for<0>(format)(tile, src, rows, k, dst);
}

size_t coded_row_bytes(Format format, size_t k) {
  const CodedForm form = coded_form(format);
  return k / static_cast<size_t>(form.span) * coded_span_bytes(form);
}

}  // namespace nibble
