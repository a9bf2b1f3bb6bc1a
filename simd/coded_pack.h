// Packs rows of the coded formats into the layouts kRows8 and kRows16 (drawn in layout.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/abi.h"

namespace nibble {

// Packs `rows` <= tile rows of depth k into one tile; missing rows become zero. False if a scale is
// not finite.
bool pack_coded_tile(Format format, size_t tile, const uint8_t* src, size_t rows, size_t k,
                     uint8_t* dst);

// Bytes of one packed row of depth k.
size_t coded_row_bytes(Format format, size_t k);

}  // namespace nibble
