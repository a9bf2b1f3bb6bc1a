// The AVX-VNNI kernels compiled for the EVEX form of vpdpbusd, bit for bit against scalar. Where
// the CPU has AVX-VNNI itself, the tests of tests/simd run the real ones as well.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "simd/cpu.h"
#include "simd/format.h"
#include "simd/layout.h"
#include "simd/registry.h"
#include "tests/simd/guarded.h"

extern "C" const nibble::KernelList nibble_kernels_twin_q4_0;
extern "C" const nibble::KernelList nibble_kernels_twin_q8_0;
extern "C" const nibble::KernelList nibble_kernels_twin_coded;

namespace nibble {
namespace {

constexpr float kUntouched = -12345;

// Random blocks; every fifth at the weights' lower end, every seventh at the upper.
std::vector<uint8_t> random_weights(Format format, size_t n, size_t k, std::mt19937& random) {
  const FormatInfo& info = format_info(format);
  std::vector<uint8_t> rows(n * row_bytes(format, k));
  for (uint8_t& byte : rows) byte = static_cast<uint8_t>(random());
  for (size_t b = 0; b * info.block_bytes < rows.size(); ++b) {
    uint8_t* block = rows.data() + b * info.block_bytes;
    const bool bytes = format == Format::kQ8_0;
    if (b % 5 == 1) std::memset(block, bytes ? 0x80 : 0x00, info.block_bytes);
    if (b % 7 == 2) std::memset(block, bytes ? 0x7f : 0xff, info.block_bytes);
    for (size_t i = 0; i < info.scales; ++i) {
      const uint16_t scale = static_cast<uint16_t>(0x1800 | (random() & 0x87ff));  // finite
      std::memcpy(block + info.scale_at + i * sizeof(scale), &scale, sizeof(scale));
    }
    if (format == Format::kMXFP4) block[0] = static_cast<uint8_t>(120 + random() % 8);
  }
  return rows;
}

// Panels of random tokens; every third block is all 127 or -127.
std::vector<uint8_t> random_panels(size_t m, size_t k, std::mt19937& random) {
  std::vector<uint8_t> panels;
  const auto append = [&](const auto& values) {
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(values.data());
    panels.insert(panels.end(), bytes, bytes + values.size() * sizeof(values[0]));
  };
  for (size_t first = 0; first < m; first += NIBBLE_PANEL) {
    const size_t mt = std::min<size_t>(m - first, NIBBLE_PANEL);
    for (size_t b = 0; b < k / NIBBLE_BLOCK; ++b) {
      std::vector<float> d(mt);
      std::vector<int32_t> neg8(mt);
      std::vector<int8_t> q(mt * NIBBLE_BLOCK);
      std::vector<int32_t> neg64(2 * mt);
      for (size_t i = 0; i < q.size(); ++i) {
        const int extreme = i / NIBBLE_BLOCK % 2 == 0 ? 127 : -127;
        const int value = b % 3 == 1 ? extreme : static_cast<int>(random() % 255) - 127;
        q[i] = static_cast<int8_t>(value);
        neg8[i / NIBBLE_BLOCK] -= 8 * value;
        neg64[i % NIBBLE_BLOCK / 16 * mt + i / NIBBLE_BLOCK] -= 64 * value;
      }
      for (float& scale : d) scale = std::uniform_real_distribution<float>(0.001f, 0.1f)(random);
      append(d);
      append(neg8);
      append(q);
      append(neg64);
    }
  }
  return panels;
}

void expect_equal_to_scalar(const KernelEntry& entry, size_t m, size_t n, size_t k) {
  SCOPED_TRACE(std::string(entry.name) + " m=" + std::to_string(m) + " n=" + std::to_string(n) +
               " k=" + std::to_string(k));
  std::mt19937 random(static_cast<uint32_t>(m * 1000 + n * 10 + k));
  const std::vector<uint8_t> rows = random_weights(entry.format, n, k, random);
  const std::vector<uint8_t> panels = random_panels(m, k, random);
  Guarded<uint8_t> packed(packed_bytes(entry.format, entry.layout, n, k), GuardSide::kEnd);
  pack_rows(entry.format, entry.layout, rows.data(), n, k, packed.data());
  Guarded<uint8_t> x(panels, GuardSide::kEnd);

  std::vector<float> expected(m * n);
  const MatmulArgs scalar_args = {rows.data(), x.data(), expected.data(), n, n, k, m};
  select_kernel(Op::kMatmul, entry.format, 0)->entry->fn.matmul(&scalar_args);

  const size_t stride = n + 3;
  Guarded<float> y(std::vector<float>((m - 1) * stride + n, kUntouched), GuardSide::kEnd);
  const MatmulArgs args = {packed.data(), x.data(), y.data(), stride, n, k, m};
  entry.fn.matmul(&args);
  for (size_t t = 0; t < m; ++t) {
    EXPECT_EQ(std::memcmp(y.data() + t * stride, expected.data() + t * n, n * sizeof(float)), 0)
        << "token " << t;
    for (size_t i = n; i < stride && t * stride + i < y.size(); ++i) {
      EXPECT_EQ(y.data()[t * stride + i], kUntouched) << "written beyond row n, token " << t;
    }
  }
}

TEST(AvxVnniTwin, EqualsScalar) {
  const CpuFeatures needed = kAvx2 | kFma | kF16c | kAvx512f | kAvx512vl | kAvx512vnni;
  if ((detect_cpu_features() & needed) != needed) GTEST_SKIP() << "this CPU lacks AVX-512 VNNI";
  for (const KernelList* list :
       {&nibble_kernels_twin_q4_0, &nibble_kernels_twin_q8_0, &nibble_kernels_twin_coded}) {
    for (size_t i = 0; i < list->count; ++i) {
      const KernelEntry& entry = list->entries[i];
      const bool wide = format_info(entry.format).block == 256;
      for (size_t m : {1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33}) {
        for (size_t n : {1, 7, 8, 9, 40}) {
          for (size_t k : {32, 96, 256, 1152, 1280}) {
            if (!wide || k % 256 == 0) expect_equal_to_scalar(entry, m, n, k);
          }
        }
      }
      expect_equal_to_scalar(entry, 17, 300, 2048);  // more than one group of tiles
    }
  }
}

}  // namespace
}  // namespace nibble
