// Files that become shorter while they are mapped, as under a download that starts anew or a full
// disk's clean-up: an error for the reader instead of a signal for the process.
#include "runtime/machine/lost_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/machine/memory.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStories = NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf";

class LostPagesTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/nibble_lost_XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string file_of_pages(size_t pages) const {
    const std::string path = folder_ / "pages";
    std::ofstream(path, std::ios::binary) << std::string(pages * page_size_bytes(), 'x');
    return path;
  }

  fs::path folder_;
};

TEST_F(LostPagesTest, ReadAsZerosAndAreTold) {
  const size_t page = page_size_bytes();
  const std::string path = file_of_pages(4);
  auto mapping = Mapping::open(path);
  ASSERT_TRUE(mapping.ok());
  EXPECT_FALSE(mapping->lost());
  fs::resize_file(path, 2 * page);
  const volatile uint8_t* data = mapping->data();
  EXPECT_EQ(data[2 * page - 1], 'x');
  EXPECT_FALSE(mapping->lost());
  EXPECT_EQ(data[3 * page + 5], 0);
  EXPECT_EQ(mapping->lost(), 3 * page);
  EXPECT_EQ(data[2 * page], 0);
  EXPECT_EQ(mapping->lost(), 3 * page) << "the first that was found";
}

TEST_F(LostPagesTest, AMappingThatWasMovedIsStillWatched) {
  const std::string path = file_of_pages(1);
  auto opened = Mapping::open(path);
  ASSERT_TRUE(opened.ok());
  const Mapping moved = std::move(*opened);
  fs::resize_file(path, 0);
  const volatile uint8_t* data = moved.data();
  EXPECT_EQ(data[0], 0);
  EXPECT_EQ(moved.lost(), 0u);
}

TEST_F(LostPagesTest, AWatchIsUsedAgainAndStartsClean) {
  const std::string path = file_of_pages(1);
  {
    auto mapping = Mapping::open(path);
    ASSERT_TRUE(mapping.ok());
    fs::resize_file(path, 0);
    const volatile uint8_t* data = mapping->data();
    EXPECT_EQ(data[0], 0);
  }
  file_of_pages(1);
  for (int i = 0; i < kMostWatched + 10; ++i) {
    auto mapping = Mapping::open(path);
    ASSERT_TRUE(mapping.ok());
    EXPECT_FALSE(mapping->lost()) << i;
  }
}

TEST_F(LostPagesTest, AFaultElsewhereStillEndsTheProcess) {
  const std::string path = file_of_pages(1);
  const auto mapping = Mapping::open(path);  // the handler is there
  ASSERT_TRUE(mapping.ok());
  const auto read_unwatched = [&] {
    std::FILE* file = std::fopen(path.c_str(), "re");
    const void* data = mmap(nullptr, page_size_bytes(), PROT_READ, MAP_PRIVATE, fileno(file), 0);
    fs::resize_file(path, 0);
    const volatile uint8_t* bytes = static_cast<const uint8_t*>(data);
    _exit(bytes[0]);
  };
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(read_unwatched(), "");
}

class LostModelTest : public LostPagesTest {
 protected:
  void SetUp() override {
    LostPagesTest::SetUp();
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "it takes a mapping for a write, which the other threads' reads then race with";
#endif
  }
};

TEST_F(LostModelTest, AModelCutShortGivesAnErrorAndTheProcessGoesOn) {
  const std::string path = folder_ / "model.gguf";
  fs::copy_file(kStories, path);
  auto engine = Engine::create({.threads = 2, .isa = ""});
  ASSERT_TRUE(engine.ok());
  auto model = Model::load(*engine, path);
  ASSERT_TRUE(model.ok()) << model.error().message;
  fs::resize_file(path, 4096);
  GenerateOptions options;
  options.max_tokens = 4;
  auto session = Session::create(*model, {});
  ASSERT_TRUE(session.ok());
  const auto lost = (*session)->complete("Once upon a time", options);
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().code, ErrorCode::kIo);
  EXPECT_NE(lost.error().message.find("cut short"), std::string::npos) << lost.error().message;

  auto other = Model::load(*engine, kStories);
  ASSERT_TRUE(other.ok());
  auto answer = Session::create(*other, {});
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE((*answer)->complete("Once upon a time", options).ok());
}

TEST_F(LostModelTest, AModelCutShortWhileItIsLoadedIsRefused) {
  const std::string path = folder_ / "model.gguf";
  fs::copy_file(kStories, path);
  auto engine = Engine::create({.threads = 2, .isa = ""});
  ASSERT_TRUE(engine.ok());
  LoadOptions options;
  options.progress = [&](double) {
    fs::resize_file(path, 4096);
    return true;
  };
  const auto model = Model::load(*engine, path, options);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kIo) << model.error().message;
}

}  // namespace
}  // namespace nibble
