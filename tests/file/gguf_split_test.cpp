// Models split over several files.
#include <gtest/gtest.h>

#include <filesystem>

#include "runtime/file/gguf.h"
#include "tests/file/gguf_bytes.h"

namespace nibble::gguf_test {
namespace {

std::string shard(uint16_t index, uint16_t count, int32_t tensors, const std::string& name,
                  uint8_t value) {
  std::string bytes =
      file({entry("split.no", 2, number(index)), entry("split.count", 2, number(count)),
            entry("split.tensors.count", 5, number(tensors))},
           {tensor(name, {8}, 0, 0)}, 32);
  bytes.back() = static_cast<char>(value);
  return bytes;
}

class GgufSplit : public testing::Test {
 protected:
  GgufSplit() {
    first_ = folder_.write("m-00001-of-00003.gguf", shard(0, 3, 3, "a", 1));
    second_ = folder_.write("m-00002-of-00003.gguf", shard(1, 3, 3, "b", 2));
    third_ = folder_.write("m-00003-of-00003.gguf", shard(2, 3, 3, "c", 3));
  }
  TemporaryFolder folder_;
  std::string first_, second_, third_;
};

TEST_F(GgufSplit, OpensAsOne) {
  const auto opened = GgufFile::open(first_);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->file_bytes(), 3 * std::filesystem::file_size(first_));
  EXPECT_EQ(opened->metadata().size(), 3u);
  ASSERT_EQ(opened->tensors().size(), 3u);
  const std::string names = "abc";
  for (uint16_t i = 0; i < 3; ++i) {
    const GgufTensor* tensor = opened->tensor(names.substr(i, 1));
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->shard, i);
    EXPECT_EQ(tensor->data[31], i + 1);
    opened->release_pages(*tensor);
    EXPECT_EQ(tensor->data[31], i + 1);
  }
}

TEST_F(GgufSplit, MissingShardIsNamed) {
  std::filesystem::remove(second_);
  expect_path_refused(first_, ErrorCode::kNoInput, {second_, "part 2 of the 3", "same folder"});
}

TEST_F(GgufSplit, FirstPartIsAskedFor) {
  expect_path_refused(second_, ErrorCode::kData,
                      {second_, "not the first", "-00001-of-00003.gguf"});
}

TEST_F(GgufSplit, NameMustShowThePart) {
  expect_path_refused(folder_.write("model.gguf", shard(0, 3, 3, "a", 1)), ErrorCode::kData,
                      {"first of 3 parts", "-00001-of-00003.gguf"});
  expect_path_refused(folder_.write("m-00001-of-00002.gguf", shard(0, 3, 3, "a", 1)),
                      ErrorCode::kData, {"-00001-of-00003.gguf"});
}

TEST_F(GgufSplit, WrongShard) {
  folder_.write("m-00002-of-00003.gguf", shard(2, 3, 3, "b", 2));
  expect_path_refused(first_, ErrorCode::kData,
                      {second_, "is part 3 of 3", "expected part 2 of 3"});
  folder_.write("m-00002-of-00003.gguf", shard(1, 4, 3, "b", 2));
  expect_path_refused(first_, ErrorCode::kData,
                      {second_, "is part 2 of 4", "expected part 2 of 3"});
  folder_.write("m-00002-of-00003.gguf", file({}, {tensor("b", {8}, 0, 0)}, 32));
  expect_path_refused(first_, ErrorCode::kData, {second_, "not part of a split model"});
  folder_.write("m-00002-of-00003.gguf", "<html>");
  expect_path_refused(first_, ErrorCode::kData, {second_, "web page"});
  folder_.write("m-00002-of-00003.gguf", shard(1, 3, 3, "b", 2).substr(0, 100));
  expect_path_refused(first_, ErrorCode::kData, {second_, "has 100", "download it again"});
}

TEST_F(GgufSplit, TensorsMustAddUp) {
  folder_.write("m-00001-of-00003.gguf", shard(0, 3, 4, "a", 1));
  expect_path_refused(first_, ErrorCode::kData, {"'split.tensors.count' is 4", "hold 3 tensors"});
}

TEST_F(GgufSplit, TensorInTwoShards) {
  folder_.write("m-00003-of-00003.gguf", shard(2, 3, 3, "a", 3));
  expect_path_refused(first_, ErrorCode::kData, {"tensor 'a'", "part 3"});
}

TEST_F(GgufSplit, SplitKeysOfWrongType) {
  const std::string path = folder_.write(
      "x-00001-of-00002.gguf",
      file({entry("split.no", 2, number<uint16_t>(0)), entry("split.count", 8, text("../../x"))},
           {}, 0));
  expect_path_refused(path, ErrorCode::kData, {"'split.count'", "whole number"});
  folder_.write("x-00001-of-00002.gguf",
                file({entry("split.count", 5, number<int32_t>(-2))}, {}, 0));
  expect_path_refused(path, ErrorCode::kData, {"'split.count'", "whole number"});
  folder_.write(
      "x-00001-of-00002.gguf",
      file({entry("split.no", 4, number<uint32_t>(0)), entry_u32("split.count", 100000)}, {}, 0));
  expect_path_refused(path, ErrorCode::kData, {"'split.count' is 100000", "65535"});
  folder_.write("x-00001-of-00002.gguf", file({entry_u32("split.count", 2)}, {}, 0));
  expect_path_refused(path, ErrorCode::kData, {"not the first"});
}

// The names of the parts come from the name that was given; nothing in a file can point elsewhere.
TEST_F(GgufSplit, LooksOnlyBesideTheFirst) {
  std::filesystem::create_directory(folder_.path("n-00001-of-00003.gguf.d"));
  const std::string path =
      folder_.write("n-00001-of-00003.gguf.d/m-00001-of-00003.gguf", shard(0, 3, 3, "a", 1));
  expect_path_refused(path, ErrorCode::kNoInput,
                      {folder_.path("n-00001-of-00003.gguf.d/m-00002-of-00003.gguf")});
}

TEST_F(GgufSplit, SinglePart) {
  const auto opened = GgufFile::open(folder_.write("any.gguf", shard(0, 1, 1, "a", 1)));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
}

}  // namespace
}  // namespace nibble::gguf_test
