// The same file and prompt give the same logits, bit for bit, at any thread count, batch size and
// ISA level.
#include <gtest/gtest.h>

#include <cstring>

#include "nibble/nibble.h"
#include "simd/registry.h"

namespace nibble {
namespace {

const char* const kModel = NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf";

// Logits of the last of some 300 tokens (window 128: the rings wrap), and of 3 decode steps.
std::vector<float> run(int threads, int64_t batch = 256, const std::string& isa = "",
                       KvFormat kv = KvFormat::kF16) {
  auto engine = Engine::create({.threads = threads, .isa = isa});
  EXPECT_TRUE(engine) << engine.error().message;
  auto model = Model::load(*engine, kModel);
  EXPECT_TRUE(model) << model.error().message;
  auto session = Session::create(*model, {.context = 1024, .batch = batch, .kv = kv});
  EXPECT_TRUE(session) << session.error().message;
  std::vector<int32_t> ids;
  for (int i = 0; i < 301; ++i) ids.push_back((i * 7919 + 13) % 2000 + 6);
  std::vector<float> all = *(*session)->evaluate(ids, false);
  for (const int32_t id : {100, 200, 300}) {
    const auto logits = (*session)->evaluate({&id, 1}, false);
    EXPECT_TRUE(logits);
    all.insert(all.end(), logits->begin(), logits->end());
  }
  return all;
}

void expect_same(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
}

TEST(DeterminismTest, ThreadsDoNotMatter) {
  const auto one = run(1);
  for (const int threads : {2, 3, 4}) expect_same(one, run(threads));
}

TEST(DeterminismTest, BatchSizeDoesNotMatter) {
  const auto whole = run(2, 1024);
  for (const int64_t batch : {1, 7, 16, 33, 256}) {
    expect_same(whole, run(2, batch));
  }
}

TEST(DeterminismTest, IsaDoesNotMatter) {
  const auto scalar = run(2, 256, "scalar");
  const CpuFeatures features = detect_cpu_features();
  int levels = 0;
  for (const IsaLevel& level : isa_levels()) {
    if ((level.required & ~features) != 0) continue;
    SCOPED_TRACE(level.name);
    expect_same(scalar, run(2, 256, std::string(level.name)));
    ++levels;
  }
  EXPECT_GE(levels, 1);
}

TEST(DeterminismTest, NothingMattersToAQuantizedCache) {
  for (const KvFormat kv : {KvFormat::kQ8_0, KvFormat::kQ4_0}) {
    const auto scalar = run(1, 256, "scalar", kv);
    expect_same(scalar, run(1, 7, "", kv));
    expect_same(scalar, run(3, 256, "", kv));
    EXPECT_NE(std::memcmp(scalar.data(), run(1).data(), scalar.size() * sizeof(float)), 0);
  }
}

TEST(DeterminismTest, ForcedLevelTakesEffect) {
  for (const IsaLevel& level : isa_levels()) {
    auto engine = Engine::create({.threads = 1, .isa = std::string(level.name)});
    if (!engine) continue;  // a machine without it; the registry's tests check that message
    bool used = false;
    for (const Engine::Choice& choice : (*engine)->choices()) {
      used |= choice.isa == level.name;
      EXPECT_LE(choice.isa == "scalar" ? 0 : 1, level.rank) << choice.kernel;
    }
    EXPECT_TRUE(used) << level.name;
  }
}

}  // namespace
}  // namespace nibble
