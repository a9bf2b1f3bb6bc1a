// Importances measured on text, and read back.
#include "runtime/quantize/collect.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "runtime/model_impl.h"
#include "runtime/quantize/importance.h"

namespace nibble::test {
namespace {

TEST(ImportanceCollector, SumsWhatMeetsEveryMatrix) {
  EngineOptions options;
  options.threads = 2;
  const auto engine = Engine::create(options);
  ASSERT_TRUE(engine.ok());
  const auto model =
      Model::load(*engine, NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf", {});
  ASSERT_TRUE(model.ok()) << model.error().message;
  const std::vector<int32_t> ids =
      (*model)->impl().tokenizer->encode("Once upon a time there was a cat.", {});
  const std::string path = testing::TempDir() + "importances.gguf";
  const auto measure = [&](const std::vector<std::span<const int32_t>>& texts) {
    const auto collector = ImportanceCollector::create(*model, 64);
    EXPECT_TRUE(collector.ok());
    for (const auto& text : texts) (*collector)->add(text);
    const Result<void> written = (*collector)->write(path, "a cat");
    EXPECT_TRUE(written.ok());
    auto read = ImportanceMatrix::open(path);
    EXPECT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->chunks(), texts.size());
    EXPECT_EQ(read->dataset(), "a cat");
    return std::move(read).value();
  };

  const ImportanceMatrix once = measure({ids});
  const auto& network = (*model)->impl().network;
  EXPECT_EQ(once.entries(), 7 * network.shape().layers);  // not the output head
  for (size_t layer = 0; layer < network.shape().layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    for (const char* part :
         {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
      const std::vector<float>* importance = once.find(prefix + part + ".weight");
      ASSERT_NE(importance, nullptr) << prefix << part;
      float sum = 0;
      for (const float value : *importance) sum += value;
      EXPECT_GT(sum, 0) << prefix << part;
    }
    // What meets q, k and v is one and the same.
    EXPECT_EQ(*once.find(prefix + "attn_q.weight"), *once.find(prefix + "attn_v.weight"));
  }
  // The first matrix sees the same whatever follows: its means over a text and the text again.
  const ImportanceMatrix twice = measure({ids, ids});
  for (size_t i = 0; i < once.find("blk.0.attn_q.weight")->size(); ++i) {
    const float mean = (*once.find("blk.0.attn_q.weight"))[i];
    EXPECT_NEAR((*twice.find("blk.0.attn_q.weight"))[i], mean, 1e-6f * mean);
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace nibble::test
