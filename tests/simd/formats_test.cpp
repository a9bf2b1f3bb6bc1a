// Every block format is decoded as ggml defines it.
//
// The hashes were recorded once from ggml 0.21's own decoders (ggml_get_type_traits()->to_float)
// on the same blocks: splitmix64 seeded with the type id, eight bytes at a time, little-endian, for
// 65536 weights; scales that are infinite or NaN lose bit 14.
#include "simd/format.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "simd/half_inl.h"
#include "simd/registry.h"

namespace nibble {
namespace {

constexpr size_t kWeights = 65536;

struct Recorded {
  Format format;
  uint64_t hash;
};

constexpr Recorded kRecorded[] = {
    {Format::kQ8_0, 0x44e47d3266a62807},    {Format::kQ4_0, 0xbf4aec3e2abd054c},
    {Format::kQ4_1, 0x3b80943fc67267c9},    {Format::kQ5_0, 0x10786ede63136243},
    {Format::kQ5_1, 0xe173d7618c21820e},    {Format::kQ2_K, 0x24479ee08c43f385},
    {Format::kQ3_K, 0x893037ad7f60a104},    {Format::kQ4_K, 0xea5c54e7ee46140c},
    {Format::kQ5_K, 0xb56f47bbddaee691},    {Format::kQ6_K, 0x1daffd580387f52b},
    {Format::kIQ4_NL, 0xc753fb38bac91c61},  {Format::kIQ4_XS, 0x67eb1726b626f638},
    {Format::kIQ3_S, 0x9dfc2219c5a16b03},   {Format::kIQ3_XXS, 0x6ceff7ecdad526f7},
    {Format::kIQ2_XXS, 0x7a6f1e7866a44e4d}, {Format::kIQ2_XS, 0x3f7a37312ae776cb},
    {Format::kIQ2_S, 0x7e669f2d66538113},   {Format::kTQ1_0, 0xa57712fd51246e52},
    {Format::kTQ2_0, 0x3927ab9f6518b985},   {Format::kMXFP4, 0x008487204efb617b},
};

uint64_t next(uint64_t* state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

std::vector<uint8_t> blocks_of(const FormatInfo& info) {
  const size_t bytes = row_bytes(info.format, kWeights);
  std::vector<uint8_t> blocks(bytes + 8);
  uint64_t state = info.gguf_id;
  for (size_t at = 0; at < bytes; at += 8) {
    const uint64_t eight = next(&state);
    std::memcpy(&blocks[at], &eight, 8);
  }
  for (size_t at = 0; at < bytes; at += info.block_bytes) {
    for (size_t i = 0; i < info.scales; ++i) {
      uint8_t& high = blocks[at + info.scale_at + 2 * i + 1];
      if ((high & 0x7c) == 0x7c) high ^= 0x40;
    }
  }
  return blocks;
}

// FNV-1a of the bits, byte by byte.
uint64_t hash_of(const std::vector<float>& values) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const float value : values) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ (bits_from_float(value) >> shift & 255)) * 0x100000001b3;
    }
  }
  return hash;
}

class Decoded : public testing::TestWithParam<Recorded> {};

TEST_P(Decoded, AsRecordedFromGgml) {
  const FormatInfo& info = format_info(GetParam().format);
  const std::vector<uint8_t> blocks = blocks_of(info);
  std::vector<float> values(kWeights);
  const DequantizeArgs args = {blocks.data(), values.data(), kWeights};
  select_kernel(Op::kDequantizeRow, info.format, 0)->entry->fn.dequantize(&args);
  EXPECT_EQ(hash_of(values), GetParam().hash);
}

TEST(DecodedFormats, CoversEveryBlockFormat) {
  size_t blocks = 0;
  for (int i = 0; i < static_cast<int>(Format::kCount); ++i) {
    blocks += format_info(static_cast<Format>(i)).block > 1 ? 1 : 0;
  }
  EXPECT_EQ(std::size(kRecorded), blocks);
}

INSTANTIATE_TEST_SUITE_P(, Decoded, testing::ValuesIn(kRecorded),
                         [](const testing::TestParamInfo<Recorded>& recorded) {
                           return std::string(format_info(recorded.param.format).name);
                         });

}  // namespace
}  // namespace nibble
