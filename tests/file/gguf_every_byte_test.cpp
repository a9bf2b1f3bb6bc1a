// Every cut and every change of one byte of a small file: refused or opened, never more than that.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/file/gguf.h"
#include "tests/file/gguf_bytes.h"

namespace nibble::gguf_test {
namespace {

// Every kind of value, two tensors, no padding at the end.
std::string small_file() {
  return file({entry("u8", 0, number<uint8_t>(1)), entry("f", 6, number(1.5f)),
               entry("flag", 7, number<uint8_t>(1)), entry("s", 8, text("text")),
               entry("as", 9, array(8, 2, text("a") + text("b"))),
               entry("ai", 9, array(5, 2, number<int32_t>(-1) + number<int32_t>(2))),
               entry_u32("general.alignment", 32)},
              {tensor("q", {32, 2}, 2, 0), tensor("f", {4, 2}, 0, 64)}, 96);
}

// Reads all that the file offers.
uint64_t read_all(const GgufFile& opened) {
  uint64_t sum = 0;
  for (const GgufTensor& tensor : opened.tensors()) {
    EXPECT_LE(tensor.bytes, opened.file_bytes());
    EXPECT_LE(tensor.offset, opened.file_bytes() - tensor.bytes);
    for (uint64_t i = 0; i < tensor.bytes; ++i) sum += tensor.data[i];
  }
  return sum;
}

TEST(GgufEveryByte, EveryCutIsATruncatedDownload) {
  const std::string bytes = small_file();
  const TemporaryFolder folder;
  ASSERT_TRUE(GgufFile::open(folder.write("whole", bytes)).ok());
  for (size_t length = 1; length < bytes.size(); ++length) {
    const auto opened = GgufFile::open(folder.write("cut", bytes.substr(0, length)));
    ASSERT_FALSE(opened.ok()) << length;
    EXPECT_EQ(opened.error().code, ErrorCode::kData);
    for (const std::string& part : {std::string("needs "), "has " + std::to_string(length),
                                    std::string("download it again")}) {
      EXPECT_NE(opened.error().message.find(part), std::string::npos) << opened.error().message;
    }
  }
}

TEST(GgufEveryByte, EveryByteTimesEveryValue) {
  const std::string bytes = small_file();
  const TemporaryFolder folder;
  const std::string path = folder.write("changed", bytes);
  const int fd = open(path.c_str(), O_WRONLY);
  ASSERT_GE(fd, 0);
  size_t opened_count = 0, refused_count = 0;
  reset_heap_peak();
  const uint64_t before = heap_bytes();
  for (size_t i = 0; i < bytes.size() - 96; ++i) {
    for (int value = 0; value < 256; ++value) {
      ASSERT_EQ(pwrite(fd, &value, 1, static_cast<off_t>(i)), 1);
      const auto opened = GgufFile::open(path);
      if (opened.ok()) {
        ++opened_count;
        read_all(*opened);
        continue;
      }
      ++refused_count;
      ASSERT_EQ(opened.error().code, ErrorCode::kData) << opened.error().message;
      ASSERT_TRUE(opened.error().message.starts_with(path)) << opened.error().message;
      const auto printable = [](char c) { return c >= 0x20 && c < 0x7f; };
      ASSERT_TRUE(
          std::all_of(opened.error().message.begin(), opened.error().message.end(), printable))
          << opened.error().message;
    }
    ASSERT_EQ(pwrite(fd, &bytes[i], 1, static_cast<off_t>(i)), 1);
  }
  close(fd);
  EXPECT_LT(heap_peak_bytes() - before, uint64_t{1} << 20);
  EXPECT_GT(opened_count, bytes.size() - 96);  // at least the unchanged value of each byte
  EXPECT_GT(refused_count, opened_count);
}

}  // namespace
}  // namespace nibble::gguf_test
