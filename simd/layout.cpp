#include "simd/layout.h"

#include <algorithm>
#include <cstring>

#include "simd/coded_form_inl.h"
#include "simd/coded_pack.h"
#include "simd/format.h"

namespace nibble {
namespace {

constexpr uint16_t kExponentF16 = 0x7c00;  // all ones: infinity or NaN

// Interleaves `rows` <= R rows of one tile; missing rows become zero. The constant R lets the
// compiler unroll a block's moves. Returns false if a scale is not finite.
template <size_t R, size_t BlockBytes>
bool pack_tile(const uint8_t* src, size_t rows, size_t k, uint32_t bias, uint8_t* dst) {
  constexpr size_t kScaleBytes = sizeof(uint16_t);
  constexpr size_t kGroups = (BlockBytes - kScaleBytes) / 4;
  const size_t blocks = k / NIBBLE_BLOCK;
  const size_t row_bytes = blocks * BlockBytes;
  if (rows < R) std::memset(dst, 0, blocks * R * BlockBytes);
  bool finite = true;
  for (size_t b = 0; b < blocks; ++b, src += BlockBytes, dst += R * BlockBytes) {
    for (size_t r = 0; r < rows; ++r) {
      const uint8_t* block = src + r * row_bytes;
      uint16_t scale;
      std::memcpy(&scale, block, kScaleBytes);
      finite &= (scale & kExponentF16) != kExponentF16;
      std::memcpy(dst + r * kScaleBytes, &scale, kScaleBytes);
      uint32_t groups[kGroups];
      std::memcpy(groups, block + kScaleBytes, sizeof(groups));
      for (size_t g = 0; g < kGroups; ++g) {
        const uint32_t bytes = groups[g] ^ bias;
        std::memcpy(dst + R * kScaleBytes + (g * R + r) * 4, &bytes, 4);
      }
    }
  }
  return finite;
}

using PackTile = bool (*)(const uint8_t*, size_t, size_t, uint32_t, uint8_t*);

PackTile pack_tile_for(Format format, size_t tile) {
  if (format == Format::kQ4_0) return tile == 8 ? pack_tile<8, 18> : pack_tile<16, 18>;
  return tile == 8 ? pack_tile<8, 34> : pack_tile<16, 34>;
}

PackResult find_not_finite(const uint8_t* src, size_t first, size_t last, size_t k, Format format) {
  const FormatInfo& info = format_info(format);
  const size_t blocks = k / info.block;
  for (size_t row = first; row < last; ++row) {
    for (size_t b = 0; b < blocks; ++b) {
      const uint8_t* block = src + (row * blocks + b) * info.block_bytes;
      for (size_t i = 0; i < info.scales; ++i) {
        uint16_t scale;
        std::memcpy(&scale, block + info.scale_at + i * sizeof(scale), sizeof(scale));
        if ((scale & kExponentF16) == kExponentF16) return {false, row, b};
      }
    }
  }
  return {};
}

bool is_coded(Format format) {
  return coded_form(format).span != 0;
}

// Bytes of one packed row.
size_t packed_row_bytes(Format format, size_t k) {
  return is_coded(format) ? coded_row_bytes(format, k) : row_bytes(format, k);
}

}  // namespace

size_t layout_rows(Layout layout) {
  switch (layout) {
    case Layout::kRows8:
    case Layout::kRows8Biased:
      return 8;
    case Layout::kRows16:
    case Layout::kRows16Biased:
      return 16;
    case Layout::kRowMajor:
    case Layout::kCount:
      break;
  }
  return 1;
}

size_t packed_bytes(Format format, Layout layout, size_t n, size_t k) {
  const size_t tile = layout_rows(layout);
  return (n + tile - 1) / tile * tile * packed_row_bytes(format, k);
}

PackResult pack_rows(Format format, Layout layout, const void* src, size_t n, size_t k, void* dst) {
  const size_t tile = layout_rows(layout);
  const size_t bytes = row_bytes(format, k), packed = packed_row_bytes(format, k);
  const bool biased = layout == Layout::kRows8Biased || layout == Layout::kRows16Biased;
  // int8 value + 128 is the value with its sign bit flipped.
  const uint32_t bias = biased && format == Format::kQ8_0 ? 0x80808080 : 0;
  const bool coded = is_coded(format);
  const PackTile pack = coded ? nullptr : pack_tile_for(format, tile);
  const uint8_t* from = static_cast<const uint8_t*>(src);
  uint8_t* to = static_cast<uint8_t*>(dst);
  PackResult result;
  for (size_t row = 0; row < n; row += tile) {
    const size_t rows = std::min(tile, n - row);
    uint8_t* dst_tile = to + row * packed;
    const uint8_t* src_tile = from + row * bytes;
    const bool finite = coded ? pack_coded_tile(format, tile, src_tile, rows, k, dst_tile)
                              : pack(src_tile, rows, k, bias, dst_tile);
    if (!finite && result.finite) result = find_not_finite(from, row, row + rows, k, format);
  }
  return result;
}

}  // namespace nibble
