// Mappings of files that are and are not what they should be, and buffers that fit and do not.
#include "runtime/machine/memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMiB = size_t{1} << 20;

// Runs in a child: lets it grow by 256 MiB only, asks for 512 and prints what it is told.
[[noreturn]] void allocate_under_a_limit() {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit{};
  limit.rlim_cur = limit.rlim_max = pages * page_size_bytes() + 256 * kMiB;
  setrlimit(RLIMIT_AS, &limit);
  auto buffer = Buffer::allocate(512 * kMiB, "the KV cache");
  if (buffer.ok()) _exit(0);
  std::fprintf(stderr, "%s\n", buffer.error().message.c_str());
  _exit(static_cast<int>(buffer.error().code));
}

class MappingTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/nibble_memory_XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  static void expect_error(const std::string& path, ErrorCode code, const std::string& part) {
    auto mapping = Mapping::open(path);
    ASSERT_FALSE(mapping.ok()) << path;
    EXPECT_EQ(mapping.error().code, code) << mapping.error().message;
    EXPECT_NE(mapping.error().message.find(part), std::string::npos) << mapping.error().message;
  }

  fs::path folder_;
};

TEST_F(MappingTest, HoldsTheWholeFile) {
  std::string bytes(3 * page_size_bytes() + 5, '\0');
  std::iota(bytes.begin(), bytes.end(), 'a');
  auto mapping = Mapping::open(write("file", bytes));
  ASSERT_TRUE(mapping.ok()) << mapping.error().message;
  ASSERT_EQ(mapping->size(), bytes.size());
  EXPECT_EQ(std::memcmp(mapping->data(), bytes.data(), bytes.size()), 0);
}

TEST_F(MappingTest, SaysWhatTheFileIsNot) {
  expect_error(folder_ / "none", ErrorCode::kNoInput, "No such file");
  expect_error("", ErrorCode::kNoInput, "No such file");
  expect_error(folder_, ErrorCode::kNoInput, "is a directory");
  expect_error("/dev/zero", ErrorCode::kNoInput, "is a device");
  expect_error(write("empty", ""), ErrorCode::kData, "is empty");
  const std::string file = write("file", "x");
  expect_error(file + "/below", ErrorCode::kNoInput, "Not a directory");
  expect_error(file + std::string("\0x", 2), ErrorCode::kNoInput, "NUL");
  expect_error(folder_ / std::string(5000, 'n'), ErrorCode::kNoInput, "too long");
}

TEST_F(MappingTest, DoesNotWaitForAWriterOfAFifo) {
  const std::string path = folder_ / "fifo";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  alarm(10);  // a test that hangs fails
  expect_error(path, ErrorCode::kNoInput, "is a FIFO");
  alarm(0);
}

TEST_F(MappingTest, SaysThatPermissionIsMissing) {
  const std::string path = write("secret", "x");
  fs::permissions(path, fs::perms::none);
  fs::permissions(folder_, fs::perms::all);
  EXPECT_EXIT(
      {
        if (geteuid() == 0 && seteuid(65534) != 0) _exit(1);  // root may read everything
        auto mapping = Mapping::open(path);
        if (!mapping.ok()) std::fprintf(stderr, "%s\n", mapping.error().message.c_str());
        _exit(mapping.ok() ? 0 : static_cast<int>(mapping.error().code));
      },
      testing::ExitedWithCode(77), "secret: Permission denied");
}

TEST_F(MappingTest, LeavesNoDescriptorOpen) {
  const std::string file = write("file", "x");
  const auto count = [] {
    const fs::directory_iterator files("/proc/self/fd");
    return std::distance(begin(files), end(files));
  };
  const auto before = count();
  for (int i = 0; i < 10; ++i) {
    auto mapping = Mapping::open(file);
    ASSERT_TRUE(mapping.ok());
    expect_error(folder_, ErrorCode::kNoInput, "is a directory");
    EXPECT_EQ(count(), before);
  }
}

TEST_F(MappingTest, DroppedPagesCanBeReadAgain) {
  const size_t page = page_size_bytes();
  auto mapping = Mapping::open(write("file", std::string(4 * page + 1, 'x')));
  ASSERT_TRUE(mapping.ok());
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{page}, mapping->size(), kMax}) {
    for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{2 * page}, kMax}) {
      mapping->will_need(offset, bytes);
      mapping->drop(offset, bytes);
    }
  }
  for (uint64_t i = 0; i < mapping->size(); ++i) ASSERT_EQ(mapping->data()[i], 'x') << i;
}

TEST_F(MappingTest, MoveLeavesOneOwner) {
  auto first = Mapping::open(write("a", "aaa"));
  auto second = Mapping::open(write("b", "bb"));
  ASSERT_TRUE(first.ok() && second.ok());
  Mapping target = std::move(first).value();
  target = std::move(second).value();
  EXPECT_EQ(target.size(), 2u);
  EXPECT_EQ(target.data()[0], 'b');
  EXPECT_EQ(second.value().data(), nullptr);
  Mapping& same = target;
  target = std::move(same);
  EXPECT_EQ(target.size(), 2u);
}

TEST(BufferTest, IsZeroedAlignedAndWritableToItsEnd) {
  for (const size_t bytes : {size_t{1}, size_t{4097}, 4 * kMiB + 3}) {
    auto buffer = Buffer::allocate(bytes, "a test");
    ASSERT_TRUE(buffer.ok()) << buffer.error().message;
    EXPECT_EQ(buffer->size(), bytes);
    uint8_t* data = buffer->as();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % page_size_bytes(), 0u);
    for (size_t i = 0; i < bytes; ++i) ASSERT_EQ(data[i], 0) << i;
    data[bytes - 1] = 7;
    Buffer moved = std::move(buffer).value();
    EXPECT_EQ(moved.as()[bytes - 1], 7);
    EXPECT_EQ(buffer.value().as(), nullptr);
  }
}

TEST(BufferTest, OfNothingIsEmpty) {
  auto buffer = Buffer::allocate(0, "nothing");
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(buffer->size(), 0u);
}

TEST(BufferTest, RefusesWhatCannotBe) {
  for (const size_t bytes : {std::numeric_limits<size_t>::max(), size_t{1} << 62}) {
    auto buffer = Buffer::allocate(bytes, "the moon");
    ASSERT_FALSE(buffer.ok());
    EXPECT_EQ(buffer.error().code, ErrorCode::kOs);
    EXPECT_NE(buffer.error().message.find("MiB for the moon"), std::string::npos)
        << buffer.error().message;
  }
}

TEST(BufferDeathTest, NamesTheAddressSpaceLimit) {
  EXPECT_EXIT(
      allocate_under_a_limit(), testing::ExitedWithCode(71),
      "need 512.0 MiB for the KV cache; allowed 25[0-9.]* MiB more: the address-space limit");
}

}  // namespace
}  // namespace nibble
