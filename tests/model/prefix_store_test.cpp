// Beginnings of prompts that are kept in a folder: found by the next batch, the same answer bit for
// bit, whatever happened to the files; and never more of them than was allowed.
#include "runtime/prefix_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "nibble/batch.h"
#include "runtime/file/gguf.h"
#include "tests/model/story_test.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

class PrefixStoreTest : public StoryTest {
 protected:
  PrefixStoreTest() {
    std::string pattern = (fs::temp_directory_path() / "nibble-prefix-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~PrefixStoreTest() override { fs::remove_all(folder_); }

  std::unique_ptr<Batch> make(KvFormat kv = KvFormat::kF16, uint64_t bytes = uint64_t{1} << 30,
                              const std::shared_ptr<Model>& model = model_) {
    BatchOptions options;
    options.context = 1024;
    options.sequences = 1;
    options.kv = kv;
    options.prefix_folder = folder_;
    options.prefix_folder_bytes = bytes;
    options.note = [this](const std::string& text) {
      const std::lock_guard lock(mutex_);
      notes_.push_back(text);
    };
    auto batch = Batch::create(model, options);
    EXPECT_TRUE(batch) << batch.error().message;
    return batch ? std::move(*batch) : nullptr;
  }

  // 500 tokens, of which three blocks can be kept.
  static Completion ask(Batch& batch, int number = 0) {
    std::vector<int32_t> prompt;
    for (int i = 0; i < 500; ++i) prompt.push_back((i * 7919 + number * 31 + 13) % 2000 + 6);
    GenerateOptions options;
    options.max_tokens = 12;
    options.sampling.seed = 5;
    options.ignore_end = true;
    options.logprobs = 2;
    Completion answer;
    const auto added = batch.add(prompt, options, nullptr, [&](Result<Completion> done) {
      EXPECT_TRUE(done) << done.error().message;
      if (done) answer = std::move(*done);
    });
    EXPECT_TRUE(added) << added.error().message;
    while (batch.step()) {
    }
    return answer;
  }
  static void expect_same(const Completion& a, const Completion& b) {
    EXPECT_EQ(a.tokens, b.tokens);
    ASSERT_EQ(a.steps.size(), b.steps.size());
    for (size_t i = 0; i < a.steps.size(); ++i) EXPECT_EQ(a.steps[i].logprob, b.steps[i].logprob);
  }
  // What is kept is what was used a second time.
  void fill(int number = 0) {
    const auto batch = make();
    ask(*batch, number);
    EXPECT_EQ(ask(*batch, number).stats.cached_tokens, 384);
  }

  std::vector<fs::path> files() const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().extension() == ".nkv") paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }
  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const fs::path& path : files()) sum += fs::file_size(path);
    return sum;
  }
  std::vector<std::string> notes() {
    const std::lock_guard lock(mutex_);
    return notes_;
  }

  std::string folder_;
  std::mutex mutex_;
  std::vector<std::string> notes_;
};
TEST_F(PrefixStoreTest, TheNextBatchGoesOnFromThere) {
  for (const KvFormat kv : {KvFormat::kF16, KvFormat::kF32}) {
    Completion fresh;
    {
      const auto batch = make(kv);
      fresh = ask(*batch);
      EXPECT_EQ(fresh.stats.cached_tokens, 0);
      ask(*batch);
    }
    const auto batch = make(kv);
    const Completion again = ask(*batch);
    EXPECT_EQ(again.stats.cached_tokens, 384);
    expect_same(fresh, again);
  }
  EXPECT_EQ(files().size(), 6u);  // another form of the cache is another file
  EXPECT_TRUE(notes().empty());
}

TEST_F(PrefixStoreTest, WhatIsUsedOnceIsNotWritten) {
  ask(*make());
  EXPECT_TRUE(files().empty());
}

TEST_F(PrefixStoreTest, OnePrefixOfManyPrompts) {
  fill();
  const auto batch = make();
  EXPECT_EQ(ask(*batch, 1).stats.cached_tokens, 0);
  EXPECT_EQ(ask(*batch, 0).stats.cached_tokens, 384);
}

TEST_F(PrefixStoreTest, DamagedFilesAreComputedAnew) {
  const Completion fresh = ask(*make());
  fill();
  const std::vector<fs::path> all = files();
  ASSERT_EQ(all.size(), 3u);
  const auto first = *std::find_if(all.begin(), all.end(), [](const fs::path& path) {
    return path.stem().string().ends_with("-1");
  });
  std::ifstream in(first, std::ios::binary);
  const std::string good(std::istreambuf_iterator<char>(in), {});
  const auto write = [&](const std::string& content) {
    std::ofstream(first, std::ios::binary | std::ios::trunc) << content;
  };
  std::vector<std::string> damaged = {"",
                                      "x",
                                      good.substr(0, 40),
                                      good.substr(0, good.size() - 1),
                                      good + "x",
                                      std::string(good.size(), '\0')};
  for (size_t at = 0; at < good.size(); at += at < 600 ? 97 : good.size() / 3) {
    std::string one = good;
    one[at] = static_cast<char>(one[at] ^ 0x10);
    damaged.push_back(std::move(one));
  }
  for (const std::string& content : damaged) {
    write(content);
    const size_t before = notes().size();
    const auto batch = make();
    const Completion answer = ask(*batch);
    EXPECT_LT(answer.stats.cached_tokens, 384);  // what stands behind it may still be used
    expect_same(fresh, answer);
    ASSERT_EQ(notes().size(), before + 1);
    EXPECT_NE(notes().back().find(first.string()), std::string::npos);
  }
  write(good);
  EXPECT_EQ(ask(*make()).stats.cached_tokens, 384);
}

TEST_F(PrefixStoreTest, OthersFilesAreLeftAlone) {
  const std::string strange[] = {"README", "0123456789abcdef-1.nkv", "0123456789abcdeX-1.nkv",
                                 "0123456789abcdef-1.nkv.1-0.tmp"};
  for (const std::string& name : strange) std::ofstream(folder_ + "/" + name) << "not ours";
  fs::create_directory(folder_ + "/0123456789abcdef-2.nkv");
  const std::string rest = folder_ + "/0123456789abcdef-3.nkv.1-0.tmp";
  std::ofstream(rest) << "killed";
  const timespec long_ago[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, rest.c_str(), long_ago, 0), 0);
  fill();
  EXPECT_EQ(ask(*make()).stats.cached_tokens, 384);
  for (const std::string& name : strange) EXPECT_TRUE(fs::exists(folder_ + "/" + name)) << name;
  EXPECT_FALSE(fs::exists(rest));
}

TEST_F(PrefixStoreTest, NoMoreThanAllowedAndTheOldestGo) {
  fill(0);
  const uint64_t one = bytes();
  for (const fs::path& path : files()) {
    const timespec before[2] = {{1'000'000, 0}, {1'000'000, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), before, 0), 0);
  }
  fill(1);
  EXPECT_EQ(files().size(), 6u);
  EXPECT_EQ(bytes(), 2 * one);
  // Of the older conversation the last block goes first: what is before it can still be used.
  const auto batch = make(KvFormat::kF16, bytes() - 1);
  EXPECT_EQ(files().size(), 5u);
  EXPECT_EQ(ask(*batch, 0).stats.cached_tokens, 256);
  EXPECT_EQ(ask(*batch, 1).stats.cached_tokens, 384);
  const auto small = make(KvFormat::kF16, 1000);
  EXPECT_TRUE(files().empty());
  ask(*small, 2);
  EXPECT_EQ(ask(*small, 2).stats.cached_tokens, 384);  // in memory
}

// A copy of the model, to be changed in place: neither its size nor its time tells.
class OtherWeights {
 public:
  explicit OtherWeights(std::string path) : path_(std::move(path)) {
    fs::copy(kStoryModel, path_);
    keep_time();
  }
  // Adds one to a byte of a tensor's data, where no sample of a tensor would be taken.
  void change() const {
    auto file = GgufFile::open(path_);
    ASSERT_TRUE(file);
    const GgufTensor* tensor = file->tensor("blk.0.attn_k.weight");
    ASSERT_NE(tensor, nullptr);
    const uint64_t at = tensor->offset + tensor->bytes / 3 / 18 * 18 + 7;  // within a block's codes
    std::fstream out(path_, std::ios::binary | std::ios::in | std::ios::out);
    out.seekg(static_cast<std::streamoff>(at));
    const int byte = out.get();
    out.seekp(static_cast<std::streamoff>(at));
    out.put(static_cast<char>(byte + 1));
    out.close();
    keep_time();
  }
  std::shared_ptr<Model> load() const {
    auto engine = Engine::create({.threads = 2, .isa = ""});
    auto model = Model::load(*engine, path_);
    EXPECT_TRUE(model) << model.error().message;
    return *model;
  }

 private:
  void keep_time() const {
    const timespec times[2] = {{1'000'000, 0}, {1'000'000, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  }
  std::string path_;
};

TEST_F(PrefixStoreTest, OtherWeightsOfTheSameSizeAndTimeShareNothing) {
  const OtherWeights file(folder_ + "/model.gguf");
  const auto first = file.load();
  const auto ask_twice = [&](const std::shared_ptr<Model>& model) {
    const auto batch = make(KvFormat::kF16, uint64_t{1} << 30, model);
    const Completion answer = ask(*batch);
    ask(*batch);
    return answer;
  };
  ask_twice(first);
  EXPECT_EQ(ask_twice(file.load()).stats.cached_tokens, 384);
  // The same bytes elsewhere, at another time, are the same model.
  EXPECT_EQ(ask_twice(model_).stats.cached_tokens, 384);
  for (int i = 0; i < 2; ++i) {  // at once, and where what the file was is on record
    file.change();
    const auto other = file.load();
    EXPECT_EQ(ask_twice(other).stats.cached_tokens, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(3100));
    EXPECT_EQ(ask_twice(other).stats.cached_tokens, 384);
  }
  const auto records =
      std::count_if(fs::directory_iterator(folder_), fs::directory_iterator(),
                    [](const auto& entry) { return entry.path().extension() == ".nid"; });
  EXPECT_GE(records, 2);
}

TEST_F(PrefixStoreTest, AFileThatChangesBehindItsModelIsNotTrusted) {
  const OtherWeights file(folder_ + "/model.gguf");
  const auto model = file.load();
  file.change();
  const auto batch = make(KvFormat::kF16, uint64_t{1} << 30, model);
  ask(*batch);
  ask(*batch);
  EXPECT_TRUE(files().empty());
  ASSERT_EQ(notes().size(), 1u);
  EXPECT_NE(notes()[0].find("was changed"), std::string::npos) << notes()[0];
}

TEST_F(PrefixStoreTest, AFolderThatCannotBe) {
  const std::string file = folder_ + "/file";
  std::ofstream(file) << "x";
  BatchOptions options;
  options.prefix_folder = file;
  const auto batch = Batch::create(model_, options);
  ASSERT_FALSE(batch);
  EXPECT_EQ(batch.error().code, ErrorCode::kCannotCreate);
  EXPECT_NE(batch.error().message.find(file), std::string::npos);
  options.prefix_folder = folder_ + "/new/folder";
  EXPECT_TRUE(Batch::create(model_, options));
  struct stat info = {};
  ASSERT_EQ(stat(options.prefix_folder.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);  // prompts are private
}

}  // namespace
}  // namespace nibble
