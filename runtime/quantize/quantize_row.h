// Quantises float rows to every block format that files hold.
//
// A block stores one scale (or a scale and a minimum) and small integers. Rounding to the nearest
// with the scale of the largest weight is the usual choice and a poor one: the search here tries
// scales around it, fits each by weighted least squares, and keeps the one whose stored values lose
// least. What is lost is sum of w * (x - stored)^2 where w, the importance of a column, is the mean
// square of its activations: then that is the expected square error of the product. Without
// importances w is 1. Read next: fit.h (the search), blocks.h, quantize_model.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/format.h"

namespace nibble {

// Whether quantize_row() writes this format.
bool can_quantize(Format format);

// Writes k finite weights (k a multiple of the format's block) to `out`, row_bytes() long. A float
// format rounds to nearest even. `importance`: k non-negative numbers, or null. Deterministic,
// thread-safe. Scales that no half holds are cut to the largest one.
void quantize_row(Format format, const float* x, const float* importance, size_t k, uint8_t* out);

}  // namespace nibble
