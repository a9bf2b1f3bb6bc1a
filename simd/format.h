// The table of element formats: block size, bytes, GGUF type id, name.
//
// Source: the GGUF specification (ggml-org/ggml docs/gguf.md). Read next: layout.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "simd/abi.h"

namespace nibble {

struct FormatInfo {
  Format format;
  std::string_view name;  // "Q4_0", as the community writes it
  uint32_t gguf_id;       // ggml_type
  uint32_t block;         // elements per block
  uint32_t block_bytes;   // bytes per block in a file
  uint32_t scale_at;      // where in a block its f16 scales are,
  uint32_t scales;        // and how many in a row; none: floats, or another kind of scale
};

// Properties of a format. Never fails: every Format has a row.
const FormatInfo& format_info(Format format);

// The format with this GGUF type id, or nothing. Whether it has kernels: has_kernels(format).
std::optional<Format> format_from_gguf(uint32_t gguf_id);

// Name of any type id the GGUF specification knows, supported or not ("IQ2_XXS"); "type 99" style
// names are the caller's business: empty when unknown. `block` and `block_bytes` tell its size.
struct GgufTypeInfo {
  std::string_view name;
  uint32_t block = 0;
  uint32_t block_bytes = 0;
  bool removed = false;  // Q4_0_4_4 and friends, no longer in the specification
};
GgufTypeInfo gguf_type_info(uint32_t gguf_id);

// Bytes of one row of k elements, k a multiple of the format's block.
inline size_t row_bytes(Format format, size_t k) {
  const FormatInfo& info = format_info(format);
  return k / info.block * info.block_bytes;
}

}  // namespace nibble
