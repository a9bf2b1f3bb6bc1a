// Super-blocks without minimums: Q3_K, Q6_K, IQ4_XS. Layouts: the GGUF specification.
// Read next: super_block.h.
#include "runtime/quantize/blocks.h"
#include "runtime/quantize/super_block.h"

namespace nibble {

// 32 bytes of high bits, 64 of low pairs of bits, 12 of scales (six bits each), scale.
// A half of 128 weights has one byte column each of 32; weight 32 s + l of it is at bits 2s of pair
// byte l, and its third bit at bit s (first half) or 4 + s of byte l.
void to_q3_k(BlockView block, uint8_t* out) {
  using Super = ScaledSuperBlock<16, IntegerLevels<-4, 3>, -32, 31>;
  const Super super = Super::fit(block);
  uint8_t code[kSuper];
  super.round_codes(block.x, code);
  uint8_t* high = out;
  uint8_t* low = out + 32;
  uint8_t* scales = out + 96;
  std::memset(out, 0, 108);
  for (size_t i = 0; i < kSuper; ++i) {
    const size_t half = i / 128, s = i / 32 % 4, l = i % 32;
    low[32 * half + l] = static_cast<uint8_t>(low[32 * half + l] | (code[i] & 3) << (2 * s));
    high[l] = static_cast<uint8_t>(high[l] | (code[i] >> 2) << (4 * half + s));
  }
  for (size_t j = 0; j < Super::kSubs; ++j) {
    const int c = super.code[j] + 32;
    scales[j % 8] = static_cast<uint8_t>(scales[j % 8] | (c & 15) << (4 * (j / 8)));
    scales[8 + j % 4] = static_cast<uint8_t>(scales[8 + j % 4] | (c >> 4) << (2 * (j / 4)));
  }
  put_half(super.scale, out + 108);
}

// 128 bytes of low nibbles, 64 of high pairs, 16 scales, scale. In each half of 128 weights nibble
// byte l (of 64) holds weights l and l + 64; pair byte l (of 32) holds l, l + 32, l + 64, l + 96.
void to_q6_k(BlockView block, uint8_t* out) {
  using Super = ScaledSuperBlock<16, IntegerLevels<-32, 31>, -128, 127>;
  const Super super = Super::fit(block);
  uint8_t code[kSuper];
  super.round_codes(block.x, code);
  for (size_t half = 0; half < 2; ++half) {
    const uint8_t* c = code + 128 * half;
    uint8_t* low = out + 64 * half;
    uint8_t* high = out + 128 + 32 * half;
    for (size_t l = 0; l < 64; ++l) {
      low[l] = static_cast<uint8_t>((c[l] & 15) | (c[l + 64] & 15) << 4);
    }
    for (size_t l = 0; l < 32; ++l) {
      high[l] = static_cast<uint8_t>(c[l] >> 4 | c[l + 32] >> 4 << 2 | c[l + 64] >> 4 << 4 |
                                     c[l + 96] >> 4 << 6);
    }
  }
  for (size_t j = 0; j < Super::kSubs; ++j) out[192 + j] = static_cast<uint8_t>(super.code[j]);
  put_half(super.scale, out + 208);
}

// Scale, 16 bits of the scales' high pairs, 4 bytes of their low nibbles, 128 bytes of nibbles: in
// each sub-block of 32, low ones 0 .. 15, high ones 16 .. 31.
void to_iq4_xs(BlockView block, uint8_t* out) {
  using Super = ScaledSuperBlock<32, Iq4Levels, -32, 31>;
  const Super super = Super::fit(block);
  uint8_t code[kSuper];
  super.round_codes(block.x, code);
  std::memset(out, 0, 8);
  put_half(super.scale, out);
  for (size_t j = 0; j < Super::kSubs; ++j) {
    const int c = super.code[j] + 32;
    out[2 + j / 4] = static_cast<uint8_t>(out[2 + j / 4] | (c >> 4) << (2 * (j % 4)));
    out[4 + j / 2] = static_cast<uint8_t>(out[4 + j / 2] | (c & 15) << (4 * (j % 2)));
    for (size_t l = 0; l < 16; ++l) {
      out[8 + 16 * j + l] = static_cast<uint8_t>(code[32 * j + l] | code[32 * j + l + 16] << 4);
    }
  }
}

}  // namespace nibble
