// The helpers of gguf_bytes.h, and what a plain file gives.
#include "tests/file/gguf_bytes.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <new>

namespace nibble::gguf_test {
namespace {

std::atomic<uint64_t> heap_now{0}, heap_peak{0};

void* counted(size_t bytes) {
  void* block = std::malloc(bytes > 0 ? bytes : 1);
  if (block == nullptr) throw std::bad_alloc();
  const uint64_t now = heap_now += malloc_usable_size(block);
  uint64_t peak = heap_peak;
  while (now > peak && !heap_peak.compare_exchange_weak(peak, now)) {
  }
  return block;
}

void uncounted(void* block) noexcept {
  if (block != nullptr) heap_now -= malloc_usable_size(block);
  std::free(block);
}

}  // namespace

uint64_t heap_bytes() {
  return heap_now;
}
uint64_t heap_peak_bytes() {
  return heap_peak;
}
void reset_heap_peak() {
  heap_peak = heap_now.load();
}

double cpu_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

TemporaryFolder::TemporaryFolder() {
  folder_ = (std::filesystem::temp_directory_path() / "nibble_file_XXXXXX").string();
  if (mkdtemp(folder_.data()) == nullptr) throw std::runtime_error("cannot make " + folder_);
}

TemporaryFolder::~TemporaryFolder() {
  std::filesystem::remove_all(folder_);
}

std::string TemporaryFolder::write(std::string_view name, std::string_view bytes) const {
  std::ofstream out(path(name), std::ios::binary);
  out << bytes;
  return path(name);
}

size_t TemporaryFolder::files() const {
  size_t count = 0;
  for ([[maybe_unused]] const auto& item : std::filesystem::directory_iterator(folder_)) ++count;
  return count;
}

void expect_path_refused(const std::string& path, ErrorCode code,
                         const std::vector<std::string>& parts) {
  const double start = cpu_seconds();
  const auto opened = GgufFile::open(path);
  EXPECT_LT(cpu_seconds() - start, 1.0 * kSlowness);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, code) << opened.error().message;
  for (const std::string& part : parts) {
    EXPECT_NE(opened.error().message.find(part), std::string::npos)
        << "\"" << part << "\" is not in: " << opened.error().message;
  }
}

void expect_refused(std::string_view bytes, ErrorCode code, std::vector<std::string> parts) {
  const TemporaryFolder folder;
  const std::string path = folder.write("model.gguf", bytes);
  parts.push_back(path);
  expect_path_refused(path, code, parts);
}

namespace {

TEST(GgufBytes, SmallFileOpens) {
  const TemporaryFolder folder;
  const std::string path =
      folder.write("a.gguf", file({entry("general.architecture", 8, text("llama"))},
                                  {tensor("norm", {8, 2}, 0, 0), tensor("w", {32}, 2, 64)}, 96));
  const auto opened = GgufFile::open(path);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->path(), path);
  EXPECT_EQ(opened->version(), 3u);
  EXPECT_EQ(opened->alignment(), 32u);
  EXPECT_EQ(opened->file_bytes(), std::filesystem::file_size(path));
  ASSERT_EQ(opened->tensors().size(), 2u);
  const GgufTensor* norm = opened->tensor("norm");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->dims, (std::vector<uint64_t>{8, 2}));
  EXPECT_EQ(norm->rows(), 2u);
  EXPECT_EQ(norm->bytes, 64u);
  EXPECT_EQ(norm->data[63], 1);
  const GgufTensor* w = opened->tensor("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->bytes, 18u);
  EXPECT_EQ(w->offset, opened->file_bytes() - 32);
  EXPECT_EQ(w->data - norm->data, 64);
  EXPECT_EQ(opened->tensor("x"), nullptr);
  opened->release_pages(*norm);
  EXPECT_EQ(norm->data[0], 1);
}

TEST(GgufBytes, CounterCounts) {
  reset_heap_peak();
  const uint64_t before = heap_bytes();
  { const std::vector<char> block(1 << 20); }
  EXPECT_EQ(heap_bytes(), before);
  EXPECT_GE(heap_peak_bytes(), before + (1 << 20));
}

}  // namespace
}  // namespace nibble::gguf_test

void* operator new(size_t bytes) {
  return nibble::gguf_test::counted(bytes);
}
void* operator new[](size_t bytes) {
  return nibble::gguf_test::counted(bytes);
}
void operator delete(void* block) noexcept {
  nibble::gguf_test::uncounted(block);
}
void operator delete[](void* block) noexcept {
  nibble::gguf_test::uncounted(block);
}
void operator delete(void* block, size_t) noexcept {
  nibble::gguf_test::uncounted(block);
}
void operator delete[](void* block, size_t) noexcept {
  nibble::gguf_test::uncounted(block);
}
