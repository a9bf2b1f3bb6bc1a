// Formats of 32 weights a block. Layouts: the GGUF specification; low nibbles hold weights 0 .. 15,
// high nibbles 16 .. 31. Read next: fit.h.
#include "runtime/quantize/blocks.h"

namespace nibble {
namespace {

constexpr size_t kN = 32;

// The better of the fitted scale and the plain one (the largest weight at the end of the levels),
// as halves: rounding a tiny scale to a half can spoil a fit.
template <class Levels>
float best_scale(BlockView block) {
  const float fitted = nearest_half(fit_scale<kN, Levels>(block));
  const float plain = nearest_half(peak<kN>(block.x) / Levels::low());
  return loss<kN, Levels>(block, fitted) <= loss<kN, Levels>(block, plain) ? fitted : plain;
}

template <class Levels>
ScaleAndOffset best_scale_and_offset(BlockView block) {
  const ScaleAndOffset fit = fit_scale_and_offset<kN, Levels, false>(block);
  const float low = *std::min_element(block.x, block.x + kN);
  const float high = *std::max_element(block.x, block.x + kN);
  const ScaleAndOffset fitted{nearest_half(fit.scale), nearest_half(fit.offset)};
  const ScaleAndOffset plain{nearest_half((high - low) / Levels::high()), nearest_half(low)};
  const auto lost = [&](ScaleAndOffset s) { return loss<kN, Levels>(block, s.scale, s.offset); };
  return lost(fitted) <= lost(plain) ? fitted : plain;
}

template <class Levels>
void round_codes(const float* x, float scale, float offset, uint8_t* code) {
  float level[kN];
  round_levels<kN, Levels>(x, offset, inverse(scale), level);
  for (size_t i = 0; i < kN; ++i) code[i] = Levels::code(level[i]);
}

void put_nibbles(const uint8_t* code, uint8_t* out) {
  for (size_t i = 0; i < kN / 2; ++i) {
    out[i] = static_cast<uint8_t>((code[i] & 15) | (code[i + kN / 2] & 15) << 4);
  }
}

void put_fifth_bits(const uint8_t* code, uint8_t* out) {
  for (size_t byte = 0; byte < kN / 8; ++byte) {
    out[byte] = 0;
    for (size_t bit = 0; bit < 8; ++bit) {
      out[byte] = static_cast<uint8_t>(out[byte] | (code[8 * byte + bit] >> 4) << bit);
    }
  }
}

}  // namespace

void to_q4_0(BlockView block, uint8_t* out) {
  using Levels = IntegerLevels<-8, 7>;
  uint8_t code[kN];
  const float scale = best_scale<Levels>(block);
  round_codes<Levels>(block.x, scale, 0, code);
  put_half(scale, out);
  put_nibbles(code, out + 2);
}

void to_iq4_nl(BlockView block, uint8_t* out) {
  uint8_t code[kN];
  const float scale = best_scale<Iq4Levels>(block);
  round_codes<Iq4Levels>(block.x, scale, 0, code);
  put_half(scale, out);
  put_nibbles(code, out + 2);
}

void to_q5_0(BlockView block, uint8_t* out) {
  using Levels = IntegerLevels<-16, 15>;
  uint8_t code[kN];
  const float scale = best_scale<Levels>(block);
  round_codes<Levels>(block.x, scale, 0, code);
  put_half(scale, out);
  put_fifth_bits(code, out + 2);
  put_nibbles(code, out + 6);
}

void to_q8_0(BlockView block, uint8_t* out) {
  using Levels = IntegerLevels<-127, 127>;  // not -128: kernels may negate
  uint8_t code[kN];
  const float scale = best_scale<Levels>(block);
  round_codes<Levels>(block.x, scale, 0, code);
  put_half(scale, out);
  for (size_t i = 0; i < kN; ++i) out[2 + i] = static_cast<uint8_t>(code[i] - 127);
}

void to_q4_1(BlockView block, uint8_t* out) {
  using Levels = IntegerLevels<0, 15>;
  uint8_t code[kN];
  const ScaleAndOffset fit = best_scale_and_offset<Levels>(block);
  round_codes<Levels>(block.x, fit.scale, fit.offset, code);
  put_half(fit.scale, out);
  put_half(fit.offset, out + 2);
  put_nibbles(code, out + 4);
}

void to_q5_1(BlockView block, uint8_t* out) {
  using Levels = IntegerLevels<0, 31>;
  uint8_t code[kN];
  const ScaleAndOffset fit = best_scale_and_offset<Levels>(block);
  round_codes<Levels>(block.x, fit.scale, fit.offset, code);
  put_half(fit.scale, out);
  put_half(fit.offset, out + 2);
  put_fifth_bits(code, out + 4);
  put_nibbles(code, out + 8);
}

}  // namespace nibble
