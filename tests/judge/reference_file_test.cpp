// Saved predictions: how exact they are, and that a damaged file is an error.
#include "runtime/judge/reference_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr size_t kVocabulary = 4099;

class Folder {
 public:
  Folder() {
    path_ = (fs::temp_directory_path() / "nibble-judge-XXXXXX").string();
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file() const { return path_ + "/reference.kl"; }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path_), {}));
  }

 private:
  std::string path_;
};

ReferenceHeader header_of(size_t chunks) {
  ReferenceHeader header{"a model", kVocabulary, 42, {}};
  header.chunks.ctx = 8;  // 3 predictions
  for (size_t i = 0; i < chunks * 8; ++i) header.chunks.ids.push_back(static_cast<int32_t>(i));
  return header;
}

// Logits over a range of `nats`, most of them unlikely.
std::vector<float> random_logits(double nats, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform;
  std::vector<float> logits(kVocabulary);
  for (float& logit : logits) {
    logit = static_cast<float>(10 - nats * std::sqrt(uniform(random)));
  }
  return logits;
}

void write(const std::string& path, const std::vector<std::vector<float>>& rows) {
  auto writer = ReferenceWriter::create(path, header_of(rows.size() / 3));
  ASSERT_TRUE(writer) << writer.error().message;
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_TRUE(writer->write(i, rows[i], judge_row(rows[i], 5)));
  }
  ASSERT_TRUE(writer->commit());
}

TEST(ReferenceFile, GivesDivergencesTo1e5) {
  const Folder folder;
  std::vector<std::vector<float>> rows;
  for (const double nats : {0.0, 1.0, 20.0, 40.0, 60.0, 100.0}) {
    rows.push_back(random_logits(nats, static_cast<uint32_t>(nats)));
  }
  write(folder.file(), rows);
  const auto reader = ReferenceReader::open(folder.file());
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(reader->header().model, "a model");
  EXPECT_EQ(reader->header().vocabulary_hash, 42u);
  EXPECT_EQ(reader->header().chunks.ids, header_of(2).chunks.ids);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < rows.size(); ++i) {
    std::vector<float> own = rows[i];
    for (float& logit : own) logit += 0.3f * normal(random);
    const Prediction exact = judge_row(rows[i], 5);
    const Prediction of_own = judge_row(own, 5);
    std::vector<float> logits(kVocabulary);
    const auto read = reader->read(i, logits);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->top, exact.top);
    EXPECT_NEAR(read->nll, exact.nll, 1e-6 * (1 + exact.nll));
    const double wanted = kl_divergence(rows[i], exact, own, of_own);
    EXPECT_GT(wanted, 1e-3);
    EXPECT_NEAR(kl_divergence(logits, *read, own, of_own), wanted, 1e-5) << "row " << i;
    EXPECT_LT(kl_divergence(logits, *read, rows[i], exact), 1e-6);
  }
}

TEST(ReferenceFile, WithoutCommitNothingIsThere) {
  const Folder folder;
  {
    const auto writer = ReferenceWriter::create(folder.file(), header_of(1));
    ASSERT_TRUE(writer);
    EXPECT_EQ(folder.files(), 1u);
  }
  EXPECT_EQ(folder.files(), 0u);
}

TEST(ReferenceFile, DamageIsAnError) {
  const Folder folder;
  write(folder.file(), {random_logits(9, 1), random_logits(9, 2), random_logits(9, 3)});
  std::ifstream in(folder.file(), std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(in), {}};
  const size_t row = good.size() - 3 * (16 + 2 * kVocabulary);
  const auto opened = [&](const std::function<void(std::string*)>& damage) {
    std::string bytes = good;
    damage(&bytes);
    std::ofstream(folder.file(), std::ios::binary | std::ios::trunc) << bytes;
    return ReferenceReader::open(folder.file());
  };
  const auto refuses = [&](const std::function<void(std::string*)>& damage) {
    const auto reader = opened(damage);
    return !reader && reader.error().code == ErrorCode::kData;
  };
  EXPECT_TRUE(refuses([](std::string* b) { (*b)[0] = 'x'; }));
  EXPECT_TRUE(refuses([](std::string* b) { b->resize(20); }));
  EXPECT_TRUE(refuses([](std::string* b) { b->pop_back(); }));
  EXPECT_TRUE(refuses([](std::string* b) { b->push_back('x'); }));
  for (const size_t byte : {8, 11, 12, 15, 16, 19, 20, 23}) {  // counts of the header
    EXPECT_TRUE(refuses([byte](std::string* b) { (*b)[byte] ^= '\x7f'; })) << "byte " << byte;
  }
  EXPECT_TRUE(refuses([&](std::string* b) { (*b)[row - 1] = '\x7f'; }));  // the last id
  for (const size_t byte : {3, 7, 11, 15}) {  // the high bytes of a row's numbers
    const auto reader = opened([&](std::string* b) { (*b)[row + byte] = '\x7f'; });
    ASSERT_TRUE(reader);
    std::vector<float> logits(kVocabulary);
    const auto read = reader->read(0, logits);
    ASSERT_FALSE(read) << "byte " << byte;
    EXPECT_EQ(read.error().code, ErrorCode::kData);
  }
  std::ofstream(folder.file(), std::ios::trunc);
  EXPECT_FALSE(ReferenceReader::open(folder.file()));
  fs::remove(folder.file());
  EXPECT_EQ(ReferenceReader::open(folder.file()).error().code, ErrorCode::kNoInput);
}

}  // namespace
}  // namespace nibble
