// Super-blocks with minimums: Q2_K, Q4_K, Q5_K. Layouts: the GGUF specification.
// Read next: super_block.h.
#include "runtime/quantize/blocks.h"
#include "runtime/quantize/super_block.h"

namespace nibble {
namespace {

// Eight scales and eight minimums of six bits in 12 bytes: the first four of each kind have a byte
// each, whose top two bits hold the top bits of the other four; those have their low nibbles,
// scale and minimum in one byte, in the last four bytes.
void put_six_bit_codes(const std::array<int, 8>& scale, const std::array<int, 8>& minimum,
                       uint8_t* out) {
  for (size_t j = 0; j < 4; ++j) {
    out[j] = static_cast<uint8_t>(scale[j] | scale[j + 4] >> 4 << 6);
    out[4 + j] = static_cast<uint8_t>(minimum[j] | minimum[j + 4] >> 4 << 6);
    out[8 + j] = static_cast<uint8_t>((scale[j + 4] & 15) | (minimum[j + 4] & 15) << 4);
  }
}

// In each 64 weights: low nibbles the first 32, high nibbles the others.
void put_nibbles(const uint8_t* code, uint8_t* out) {
  for (size_t i = 0; i < kSuper / 2; ++i) {
    const uint8_t* c = code + i / 32 * 64 + i % 32;
    out[i] = static_cast<uint8_t>((c[0] & 15) | (c[32] & 15) << 4);
  }
}

}  // namespace

// 16 bytes of scale (low nibble) and minimum, 64 of pairs as in Q3_K, scale of scales, of minimums.
void to_q2_k(BlockView block, uint8_t* out) {
  using Super = OffsetSuperBlock<16, IntegerLevels<0, 3>, 15>;
  const Super super = Super::fit(block);
  uint8_t code[kSuper];
  super.round_codes(block.x, code);
  for (size_t j = 0; j < Super::kSubs; ++j) {
    out[j] = static_cast<uint8_t>(super.code[j] | super.offset_code[j] << 4);
  }
  for (size_t i = 0; i < kSuper / 4; ++i) {
    const uint8_t* c = code + i / 32 * 128 + i % 32;
    out[16 + i] = static_cast<uint8_t>(c[0] | c[32] << 2 | c[64] << 4 | c[96] << 6);
  }
  put_half(super.scale, out + 80);
  put_half(super.offset, out + 82);
}

// Scale of scales, of minimums, 12 bytes of both, 128 of nibbles.
void to_q4_k(BlockView block, uint8_t* out) {
  using Super = OffsetSuperBlock<32, IntegerLevels<0, 15>, 63>;
  const Super super = Super::fit(block);
  uint8_t code[kSuper];
  super.round_codes(block.x, code);
  put_half(super.scale, out);
  put_half(super.offset, out + 2);
  put_six_bit_codes(super.code, super.offset_code, out + 4);
  put_nibbles(code, out + 16);
}

// The same with 32 bytes of fifth bits before the nibbles: bit j of byte l is weight 32 j + l's.
void to_q5_k(BlockView block, uint8_t* out) {
  using Super = OffsetSuperBlock<32, IntegerLevels<0, 31>, 63>;
  const Super super = Super::fit(block);
  uint8_t code[kSuper];
  super.round_codes(block.x, code);
  put_half(super.scale, out);
  put_half(super.offset, out + 2);
  put_six_bit_codes(super.code, super.offset_code, out + 4);
  std::memset(out + 16, 0, 32);
  for (size_t i = 0; i < kSuper; ++i) {
    out[16 + i % 32] = static_cast<uint8_t>(out[16 + i % 32] | (code[i] >> 4) << (i / 32));
  }
  put_nibbles(code, out + 48);
}

}  // namespace nibble
