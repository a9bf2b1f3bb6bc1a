// Packing: every byte of a packed tile is where layout.h draws it.
#include "simd/layout.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "simd/coded_form_inl.h"
#include "simd/format.h"
#include "simd/registry.h"
#include "tests/simd/guarded.h"

namespace nibble {
namespace {

struct Case {
  Format format;
  Layout layout;
};

class Pack : public testing::TestWithParam<Case> {};

// Random rows with finite scales.
std::vector<uint8_t> random_rows(Format format, size_t n, size_t k) {
  std::mt19937 random(static_cast<unsigned>(n * 1000 + k));
  std::vector<uint8_t> rows(n * row_bytes(format, k));
  for (uint8_t& byte : rows) byte = static_cast<uint8_t>(random());
  for (size_t at = 1; at < rows.size(); at += format_info(format).block_bytes) rows[at] &= 0xbf;
  return rows;
}

// Undoes pack_rows by the drawing, including the rows of padding.
std::vector<uint8_t> unpack(Case c, const uint8_t* packed, size_t rows, size_t k) {
  const size_t block_bytes = format_info(c.format).block_bytes;
  const size_t blocks = k / 32, tile = layout_rows(c.layout);
  const bool flip = c.format == Format::kQ8_0 &&
                    (c.layout == Layout::kRows8Biased || c.layout == Layout::kRows16Biased);
  std::vector<uint8_t> out(rows * blocks * block_bytes);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t b = 0; b < blocks; ++b) {
      const size_t r = row % tile;
      const uint8_t* from = packed + (row / tile * blocks + b) * tile * block_bytes;
      uint8_t* to = out.data() + (row * blocks + b) * block_bytes;
      to[0] = from[r * 2];
      to[1] = from[r * 2 + 1];
      for (size_t j = 0; j < block_bytes - 2; ++j) {
        const uint8_t byte = from[tile * 2 + (j / 4 * tile + r) * 4 + j % 4];
        to[2 + j] = flip ? static_cast<uint8_t>(byte - 128) : byte;
      }
    }
  }
  return out;
}

TEST_P(Pack, RoundTrip) {
  const Case c = GetParam();
  for (size_t n : {1, 7, 8, 9, 15, 16, 17, 33, 48}) {
    for (size_t k : {32, 64, 96, 1152}) {
      const std::vector<uint8_t> rows = random_rows(c.format, n, k);
      const size_t tile = layout_rows(c.layout);
      const size_t padded = (n + tile - 1) / tile * tile;
      ASSERT_EQ(packed_bytes(c.format, c.layout, n, k), padded * row_bytes(c.format, k));
      for (GuardSide side : {GuardSide::kStart, GuardSide::kEnd}) {
        Guarded<uint8_t> source(rows, side);
        Guarded<uint8_t> packed(std::vector<uint8_t>(packed_bytes(c.format, c.layout, n, k), 0xee),
                                side);
        const PackResult result = pack_rows(c.format, c.layout, source.data(), n, k, packed.data());
        EXPECT_TRUE(result.finite);
        const std::vector<uint8_t> back = unpack(c, packed.data(), n, k);
        ASSERT_EQ(back, rows) << "n " << n << " k " << k;
        // Padding is zero as it lies, biased or not.
        const size_t block_bytes = format_info(c.format).block_bytes;
        for (size_t row = n; row < padded; ++row) {
          for (size_t b = 0; b < k / 32; ++b) {
            const size_t r = row % tile;
            const uint8_t* block = packed.data() + (row / tile * (k / 32) + b) * tile * block_bytes;
            ASSERT_EQ(block[r * 2] | block[r * 2 + 1], 0);
            for (size_t j = 0; j < block_bytes - 2; ++j) {
              ASSERT_EQ(block[tile * 2 + (j / 4 * tile + r) * 4 + j % 4], 0);
            }
          }
        }
      }
    }
  }
}

TEST_P(Pack, ReportsTheFirstScaleThatIsNotFinite) {
  const Case c = GetParam();
  const size_t n = 21, k = 96, block_bytes = format_info(c.format).block_bytes;
  for (uint8_t high_byte : {0x7c, 0xfc, 0x7e}) {  // infinity, -infinity, NaN
    std::vector<uint8_t> rows = random_rows(c.format, n, k);
    rows[(18 * 3 + 2) * block_bytes + 1] = high_byte;
    rows[(20 * 3 + 0) * block_bytes + 1] = high_byte;
    std::vector<uint8_t> packed(packed_bytes(c.format, c.layout, n, k));
    const PackResult result = pack_rows(c.format, c.layout, rows.data(), n, k, packed.data());
    EXPECT_FALSE(result.finite);
    EXPECT_EQ(result.row, 18u);
    EXPECT_EQ(result.block, 2u);
  }
}

// Coded formats are proven by the products of what was packed (kernels_test.cpp); here their sizes
// and what else pack_rows says.
TEST(PackCoded, SizeAndTheFirstScaleThatIsNotFinite) {
  for (int f = 0; f < static_cast<int>(Format::kCount); ++f) {
    const FormatInfo& info = format_info(static_cast<Format>(f));
    if (info.scales == 0 || coded_form(info.format).span == 0) continue;
    SCOPED_TRACE(std::string(info.name));
    const size_t n = 21, k = 768, blocks = k / info.block;
    for (const Layout layout : {Layout::kRows8, Layout::kRows16}) {
      const size_t tile = layout_rows(layout), bytes = packed_bytes(info.format, layout, n, k);
      EXPECT_EQ(bytes, (n + tile - 1) / tile * packed_bytes(info.format, layout, tile, k));
      std::vector<uint8_t> rows(n * row_bytes(info.format, k));
      Guarded<uint8_t> packed(std::vector<uint8_t>(bytes, 0xee), GuardSide::kEnd);
      EXPECT_TRUE(pack_rows(info.format, layout, rows.data(), n, k, packed.data()).finite);
      const size_t second = info.scale_at + 2 * (info.scales - 1);  // the minimum, if there is one
      rows[(18 * blocks + 2) * info.block_bytes + second + 1] = 0x7c;
      rows[(20 * blocks) * info.block_bytes + info.scale_at + 1] = 0xfe;
      const PackResult result = pack_rows(info.format, layout, rows.data(), n, k, packed.data());
      EXPECT_FALSE(result.finite);
      EXPECT_EQ(result.row, 18u);
      EXPECT_EQ(result.block, 2u);
    }
  }
}

std::string case_name(const testing::TestParamInfo<Case>& param) {
  return std::string(format_info(param.param.format).name) + "_" +
         std::string(layout_name(param.param.layout));
}

INSTANTIATE_TEST_SUITE_P(
    , Pack,
    testing::Values(Case{Format::kQ4_0, Layout::kRows8}, Case{Format::kQ4_0, Layout::kRows8Biased},
                    Case{Format::kQ4_0, Layout::kRows16},
                    Case{Format::kQ4_0, Layout::kRows16Biased}, Case{Format::kQ8_0, Layout::kRows8},
                    Case{Format::kQ8_0, Layout::kRows8Biased}, Case{Format::kQ8_0, Layout::kRows16},
                    Case{Format::kQ8_0, Layout::kRows16Biased}),
    case_name);

}  // namespace
}  // namespace nibble
