// Files that are not what they should be: each is refused with the right code and a message that
// says what, where and what to do.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "runtime/file/gguf.h"
#include "tests/file/gguf_bytes.h"

namespace nibble::gguf_test {
namespace {

constexpr uint64_t kHuge = uint64_t{1} << 63;
constexpr uint64_t kAll = UINT64_MAX;

TEST(GgufHostile, NotAFile) {
  const TemporaryFolder folder;
  expect_path_refused(folder.write("empty", ""), ErrorCode::kNoInput, {"empty"});
  expect_path_refused(folder.path("missing"), ErrorCode::kNoInput, {"missing"});
  expect_path_refused(folder.path("."), ErrorCode::kNoInput, {"directory"});
  expect_path_refused("/dev/zero", ErrorCode::kNoInput, {"/dev/zero"});
  ASSERT_EQ(mkfifo(folder.path("fifo").c_str(), 0600), 0);
  expect_path_refused(folder.path("fifo"), ErrorCode::kNoInput, {"FIFO"});
}

struct Start {
  std::string bytes;
  std::string part;
};

TEST(GgufHostile, OtherFormatsAreNamed) {
  const std::string rest(100, 'x');
  const Start starts[] = {
      {"tjgg" + rest, "GGML file of 2023"},
      {"lmgg" + rest, "GGML file of 2023"},
      {"ggjt" + rest, "GGML file of 2023"},
      {"GGML" + rest, "GGML file of 2023"},
      {"FUGG" + rest, "big-endian"},
      {std::string("PK\x03\x04", 4) + rest, "ZIP archive"},
      {"\x1f\x8b" + rest, "gzip"},
      {"<!DOCTYPE html>" + rest, "web page"},
      {"<html>" + rest, "web page"},
      {"{\"error\":\"not found\"}", "JSON"},
      {"version https://git-lfs.github.com/spec/v1\n" + rest, "Git LFS pointer"},
      {number<uint64_t>(5000) + "{\"__metadata__\":{}" + rest, "safetensors"},
      {"\x1b[2J" + rest, "'\\x1b[2J'"},
  };
  for (const Start& start : starts) expect_refused(start.bytes, ErrorCode::kData, {start.part});
}

TEST(GgufHostile, OtherVersions) {
  expect_refused(header(1, 0, 0), ErrorCode::kData, {"version 1", "download a newer"});
  expect_refused(header(0x03000000, 0, 0), ErrorCode::kData, {"big-endian", "little-endian"});
  expect_refused(header(0x02000000, 0, 0), ErrorCode::kData, {"big-endian"});
  expect_refused(header(0, 0, 0), ErrorCode::kData, {"version 0", "byte 4"});
  expect_refused(header(4, 0, 0), ErrorCode::kData, {"version 4", "update nibble"});
}

TEST(GgufHostile, CountsBeyondTheFile) {
  expect_refused(header(3, 0, kHuge), ErrorCode::kData, {"9223372036854775808", "impossible"});
  expect_refused(header(3, kHuge, 0), ErrorCode::kData, {"9223372036854775808", "impossible"});
  expect_refused(header(3, 0, kAll), ErrorCode::kData, {"18446744073709551615", "impossible"});
  expect_refused(header(3, 0, 1), ErrorCode::kData, {"needs at least 38 bytes, has 24"});
  expect_refused(header(3, 1, 0), ErrorCode::kData, {"needs at least 57 bytes, has 24"});
  expect_refused(header(3, 1000000, 0) + std::string(1000, '\0'), ErrorCode::kData,
                 {"needs at least 33000024 bytes, has 1024", "download it again"});
}

TEST(GgufHostile, Lengths) {
  expect_refused(header(3, 0, 1) + number(kAll) + std::string(64, 'a'), ErrorCode::kData,
                 {"key 0 of 1", "18446744073709551615", "impossible"});
  expect_refused(header(3, 0, 1) + number<uint64_t>(4096) + std::string(64, 'a'), ErrorCode::kData,
                 {"needs at least 4128 bytes, has 96"});
  expect_refused(header(3, 0, 1) + text(std::string(65536, 'k')) + number(7) + number<uint8_t>(1),
                 ErrorCode::kData, {"65536 bytes", "65535"});
  expect_refused(file({entry("s", 8, number(kAll))}, {}, 0), ErrorCode::kData,
                 {"key 's'", "18446744073709551615"});
  expect_refused(file({entry("a", 9, array(0, kAll, ""))}, {}, 100), ErrorCode::kData,
                 {"key 'a'", "18446744073709551615", "impossible"});
  expect_refused(file({entry("a", 9, array(10, kHuge, ""))}, {}, 100), ErrorCode::kData,
                 {"key 'a'", "impossible"});
  expect_refused(file({entry("a", 9, array(8, 100, ""))}, {}, 100), ErrorCode::kData,
                 {"key 'a'", "needs at least 849 bytes, has 149"});
}

TEST(GgufHostile, Types) {
  expect_refused(file({entry("a", 13, number(kAll))}, {}, 0), ErrorCode::kData,
                 {"key 'a'", "type 13 at byte 33", "0 to 12"});
  expect_refused(file({entry("a", kAll & 0xffffffff, number(kAll))}, {}, 0), ErrorCode::kData,
                 {"type 4294967295"});
  expect_refused(file({entry("a", 9, array(13, 1, number(kAll)))}, {}, 0), ErrorCode::kData,
                 {"key 'a'", "type 13 at byte 37"});
  expect_refused(file({entry("a", 9, array(9, 1, array(0, 1, "x")))}, {}, 0), ErrorCode::kData,
                 {"key 'a'", "array of arrays"});
  expect_refused(file({entry("a", 7, number<uint8_t>(2)), entry_u32("b", 1)}, {}, 0),
                 ErrorCode::kData, {"key 'a'", "truth value of 2 at byte 37"});
  expect_refused(file({entry("a", 9, array(7, 2, "\x01\x7f"))}, {}, 0), ErrorCode::kData,
                 {"key 'a'", "truth value of 127 at byte 50"});
}

TEST(GgufHostile, Names) {
  expect_refused(file({entry_u32("", 1)}, {}, 0), ErrorCode::kData, {"key 0 of 1", "empty name"});
  expect_refused(file({}, {tensor("", {8}, 0, 0)}, 32), ErrorCode::kData,
                 {"tensor 0 of 1", "empty name"});
  expect_refused(file({entry_u32("a", 1), entry_u32("b", 2), entry_u32("a", 3)}, {}, 0),
                 ErrorCode::kData, {"key 'a'", "twice", "entry 2 of 3"});
  expect_refused(file({}, {tensor("t", {8}, 0, 0), tensor("t", {8}, 0, 32)}, 64), ErrorCode::kData,
                 {"tensor 't'", "twice", "entry 1 of 2"});
  // What a terminal would obey is shown, not sent.
  expect_refused(file({entry_u32("\x1b]0;x\x07", 1), entry_u32("\x1b]0;x\x07", 1)}, {}, 0),
                 ErrorCode::kData, {"'\\x1b]0;x\\x07'"});
}

TEST(GgufHostile, MillionDuplicates) {
  const std::string key = entry_u32("a", 1), name = tensor("t", {8}, 0, 0);
  std::string keys = header(3, 0, 1000000), names = header(3, 1000000, 0);
  for (int i = 0; i < 1000000; ++i) {
    keys += key;
    names += name;
  }
  expect_refused(keys, ErrorCode::kData, {"key 'a'", "twice"});
  expect_refused(names, ErrorCode::kData, {"tensor 't'", "twice"});
}

TEST(GgufHostile, MillionDistinctKeysAreTooMany) {
  std::string keys = header(3, 0, 1000000);
  for (uint32_t i = 0; i < 1000000; ++i) keys += entry_u32(number(i), 1);
  expect_refused(keys, ErrorCode::kData, {"needs more memory"});
}

TEST(GgufHostile, HeaderMemoryIsBounded) {
  // Bytes take eight times their size as numbers, empty strings four times theirs.
  constexpr size_t kBytes = 40 << 20;
  const std::string zeros(kBytes, '\0');
  const TemporaryFolder folder;
  for (const std::string& value : {array(0, kBytes, zeros), array(8, kBytes / 8, zeros)}) {
    const std::string bytes = file({entry("a", 9, value)}, {}, 0);
    const std::string path = folder.write("model.gguf", bytes);
    reset_heap_peak();
    const uint64_t limit = heap_bytes() + bytes.size() + (64 << 20);
    const auto opened = GgufFile::open(path);
    EXPECT_LE(heap_peak_bytes(), limit);
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.error().message.find("needs more memory"), std::string::npos);
  }
}

TEST(GgufHostile, Alignment) {
  const auto aligned = [](const std::string& entry_bytes) {
    return file({entry_bytes}, {tensor("t", {8}, 0, 0)}, 32);
  };
  for (const uint32_t alignment : {0u, 3u, 1u, 4u, 24u, 1u << 21, 1u << 31, UINT32_MAX}) {
    expect_refused(
        aligned(entry_u32("general.alignment", alignment)), ErrorCode::kData,
        {"'general.alignment' is " + std::to_string(alignment), "power of two from 8 to 1048576"});
  }
  expect_refused(aligned(entry("general.alignment", 10, number<uint64_t>(32))), ErrorCode::kData,
                 {"'general.alignment'", "type uint64", "must be uint32"});
  expect_refused(aligned(entry("general.alignment", 8, text("32"))), ErrorCode::kData,
                 {"'general.alignment'", "type string"});
}

TEST(GgufHostile, Dimensions) {
  const auto shaped = [](const std::vector<uint64_t>& dims) {
    return file({}, {tensor("blk.0.w", dims, 0, 0)}, 64);
  };
  expect_refused(shaped({}), ErrorCode::kData, {"'blk.0.w'", "0 dimensions", "1 to 4"});
  expect_refused(shaped({1, 1, 1, 1, 1}), ErrorCode::kData, {"'blk.0.w'", "5 dimensions"});
  expect_refused(shaped({8, 0}), ErrorCode::kData, {"'blk.0.w'", "dimension 1", "is 0"});
  expect_refused(shaped({0}), ErrorCode::kData, {"'blk.0.w'", "dimension 0 at byte 43 is 0"});
  expect_refused(shaped({uint64_t{1} << 32, uint64_t{1} << 32}), ErrorCode::kData,
                 {"[4294967296, 4294967296]", "more than 2^63"});
  expect_refused(shaped({kHuge}), ErrorCode::kData, {"more than 2^63"});
  expect_refused(shaped({kAll}), ErrorCode::kData, {"more than 2^63"});
  expect_refused(shaped({uint64_t{1} << 21, uint64_t{1} << 21, uint64_t{1} << 21, 1}),
                 ErrorCode::kData, {"more than 2^63"});
  expect_refused(shaped({uint64_t{1} << 62}), ErrorCode::kData, {"more than 2^63"});  // as bytes
}

TEST(GgufHostile, TensorTypes) {
  const auto typed = [](uint32_t type, uint64_t k) {
    return file({}, {tensor("w", {k}, type, 0)}, 4096);
  };
  expect_refused(typed(2, 33), ErrorCode::kData,
                 {"'w'", "rows of 33 elements", "Q4_0", "blocks of 32"});
  expect_refused(typed(12, 1152), ErrorCode::kData, {"Q4_K", "blocks of 256"});
  const std::vector<std::string> removed[] = {
      {"Q4_0_4_4", "Q4_0"},     {"Q4_0_4_8", "Q4_0"},     {"Q4_0_8_8", "Q4_0"},    {}, {},
      {"IQ4_NL_4_4", "IQ4_NL"}, {"IQ4_NL_4_8", "IQ4_NL"}, {"IQ4_NL_8_8", "IQ4_NL"}};
  for (uint32_t i = 0; i < std::size(removed); ++i) {
    if (removed[i].empty()) continue;
    expect_refused(typed(31 + i, 32), ErrorCode::kData,
                   {"'w'", "type " + removed[i][0] + " is no longer in use",
                    "download the " + removed[i][1] + " file"});
  }
  expect_refused(typed(4, 32), ErrorCode::kData, {"Q4_2", "no longer in use"});
  expect_refused(typed(999, 32), ErrorCode::kData,
                 {"'w'", "type 999 is not known", "Q4_0, Q8_0 or F16"});
  expect_refused(typed(UINT32_MAX, 32), ErrorCode::kData, {"type 4294967295 is not known"});
}

TEST(GgufHostile, UnsupportedTypeIsTheLoadersBusiness) {
  const TemporaryFolder folder;
  const auto opened = GgufFile::open(
      folder.write("m", file({}, {tensor("blk.3.ffn_up.weight", {256}, 19, 0)}, 50)));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const auto format = supported_format(opened->tensors()[0]);
  ASSERT_FALSE(format.ok());
  EXPECT_EQ(format.error().code, ErrorCode::kData);
  EXPECT_EQ(format.error().message,
            "blk.3.ffn_up.weight: type IQ1_S is not supported; use a Q4_0, Q8_0 or F16 file");
}

TEST(GgufHostile, Offsets) {
  const auto placed = [](uint64_t first, uint64_t second, size_t data) {
    return file({}, {tensor("a", {16}, 0, first), tensor("b", {16}, 0, second)}, data);
  };
  expect_refused(placed(0, 65, 192), ErrorCode::kData, {"tensor 'b'", "offset 65", "alignment 32"});
  expect_refused(placed(0, 32, 192), ErrorCode::kData, {"tensor 'b'", "inside tensor 'a'"});
  expect_refused(placed(64, 64, 192), ErrorCode::kData, {"inside tensor"});
  expect_refused(placed(64, 0, 64), ErrorCode::kData,
                 {"tensor 'a'", "needs 224 bytes, has 160", "download it again"});
  expect_refused(placed(0, 1 << 20, 192), ErrorCode::kData,
                 {"tensor 'b'", "offset 1048576", "outside the file (288 bytes)"});
  expect_refused(placed(0, kAll - 31, 192), ErrorCode::kData,
                 {"tensor 'b'", "offset 18446744073709551584", "outside"});
  expect_refused(placed(kHuge, 0, 192), ErrorCode::kData, {"tensor 'a'", "outside"});
}

TEST(GgufHostile, PaddedSizesWrap) {
  // Each fits in 63 bits, their sum wraps 2^64 and would come out small.
  const uint64_t elements = uint64_t{1} << 60;
  std::vector<std::string> tensors;
  for (int i = 0; i < 4; ++i) tensors.push_back(tensor(number(i), {elements}, 0, 0));
  expect_refused(file({}, tensors, 64), ErrorCode::kData, {"outside the file"});
}

}  // namespace
}  // namespace nibble::gguf_test
