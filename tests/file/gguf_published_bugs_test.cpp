// Files like those that broke other GGUF readers, by the ids of the published reports. Each must be
// refused with the right message within a tenth of a second.
#include <gtest/gtest.h>

#include "runtime/file/gguf.h"
#include "tests/file/gguf_bytes.h"

namespace nibble::gguf_test {
namespace {

constexpr uint64_t kHuge = uint64_t{1} << 63;

struct Bug {
  const char* name;
  std::string bytes;
  std::string part;  // of the message
};

std::string one_tensor(const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
  return file({}, {tensor("w", dims, type, offset)}, 64);
}

std::vector<Bug> bugs() {
  const std::string cut_array = array(8, 4, text("one") + text("two"));
  const std::string wrap_sum =
      file({},
           {tensor("a", {(uint64_t{1} << 61) - 8}, 0, 0),
            tensor("b", {(uint64_t{1} << 61) - 8}, 0, 0), tensor("c", {16}, 0, 0)},
           64);
  return {
      // Counts and lengths used before they were checked: heap overflows.
      {"CVE_2024_21825_array_length", file({entry("a", 9, array(4, kHuge / 2 + 1, "abcd"))}, {}, 0),
       "impossible"},
      {"CVE_2024_21825_string_array_length",
       file({entry("a", 9, array(8, uint64_t{1} << 60, "abcd"))}, {}, 0), "needs at least"},
      {"CVE_2024_23496_string_length", file({entry("s", 8, number(UINT64_MAX) + "x")}, {}, 0),
       "key 's'"},
      {"CVE_2024_23496_key_length", header(3, 0, 1) + number(UINT64_MAX) + std::string(32, 'k'),
       "impossible"},
      {"CVE_2024_21802_dimensions_beyond_four",
       header(3, 1, 0) + text("w") + number<uint32_t>(0x10000) + std::string(64, '\1'),
       "65536 dimensions"},
      {"CVE_2024_21836_tensor_count", header(3, uint64_t{1} << 61, 0), "impossible"},
      {"CVE_2024_23605_key_count", header(3, 0, uint64_t{1} << 61), "impossible"},
      // Parts of the result left uninitialised or null after an early end.
      {"CVE_2024_32878_string_array_cut", file({entry("a", 9, cut_array)}, {}, 0),
       "download it again"},
      {"CVE_2024_41130_tensor_table_missing", header(3, 2, 0) + std::string(8, '\0'),
       "needs at least"},
      // The same sum of sizes, fixed again and again.
      {"CVE_2025_53630_sum_of_tensor_sizes_wraps", wrap_sum, "outside the file"},
      {"CVE_2026_33298_product_of_dimensions_wraps",
       one_tensor({uint64_t{1} << 31, uint64_t{1} << 31, 4, 1}, 0, 0), "more than 2^63"},
      {"CVE_2026_27940_padding_wraps_to_zero", one_tensor({uint64_t{1} << 61}, 24, UINT64_MAX - 31),
       "outside the file"},
      {"product_exactly_2_64", one_tensor({uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0),
       "more than 2^63"},
      {"negative_dimension", one_tensor({UINT64_MAX - 31, 1}, 0, 0), "more than 2^63"},
      {"zero_dimension_divides", one_tensor({32, 0, 4, 1}, 2, 0), "is 0"},
      {"array_of_2_63_never_ends", file({entry("a", 9, array(8, kHuge, ""))}, {}, 0), "impossible"},
      {"array_of_nothing_nested", file({entry("a", 9, array(9, kHuge, ""))}, {}, 0),
       "array of arrays"},
      {"alignment_zero", file({entry_u32("general.alignment", 0)}, {tensor("w", {8}, 0, 0)}, 32),
       "power of two"},
      {"alignment_huge",
       file({entry_u32("general.alignment", 1u << 31)}, {tensor("w", {8}, 0, 0)}, 32),
       "power of two"},
      {"alignment_is_a_string",
       file({entry("general.alignment", 8, text("32"))}, {tensor("w", {8}, 0, 0)}, 32), "uint32"},
      {"CVE_2026_7482_tensor_larger_than_file", one_tensor({1 << 20}, 0, 0),
       "needs 4194368 bytes, has 128"},
      {"offset_outside", one_tensor({8}, 0, uint64_t{1} << 40), "outside the file"},
      {"type_beyond_table", one_tensor({8}, 0x7fffffff, 0), "not known"},
      {"type_negative", one_tensor({8}, 0xffffffff, 0), "not known"},
  };
}

// GoogleTest would print the bytes of the struct, gaps included.
void PrintTo(const Bug& bug, std::ostream* out) {
  *out << bug.name;
}

class PublishedBugs : public testing::TestWithParam<Bug> {};

TEST_P(PublishedBugs, IsRefused) {
  const Bug& bug = GetParam();
  const TemporaryFolder folder;
  const std::string path = folder.write("model.gguf", bug.bytes);
  const double start = cpu_seconds();
  reset_heap_peak();
  const uint64_t before = heap_bytes();
  const auto opened = GgufFile::open(path);
  EXPECT_LT(heap_peak_bytes() - before, uint64_t{1} << 20);
  EXPECT_LT(cpu_seconds() - start, 0.1 * kSlowness);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kData);
  EXPECT_NE(opened.error().message.find(bug.part), std::string::npos) << opened.error().message;
}

INSTANTIATE_TEST_SUITE_P(Gguf, PublishedBugs, testing::ValuesIn(bugs()),
                         [](const auto& bug) { return std::string(bug.param.name); });

// Duplicate checks that compare all pairs take minutes for this.
TEST(PublishedBugsGguf, QuadraticDuplicateCheck) {
  std::string bytes = header(3, 0, 100000);
  for (uint32_t i = 0; i < 100000; ++i)
    bytes += entry_u32(std::string("k").append(std::to_string(i)), i);
  const TemporaryFolder folder;
  const double start = cpu_seconds();
  const auto opened = GgufFile::open(folder.write("model.gguf", bytes));
  EXPECT_LT(cpu_seconds() - start, 1.0 * kSlowness);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(*opened->get_uint("k99999"), 99999u);
}

}  // namespace
}  // namespace nibble::gguf_test
