// The plan of memory says what is then allocated, byte for byte, before anything is.
#include "runtime/memory_plan.h"

#include <gtest/gtest.h>

#include <string>

#include "nibble/nibble.h"
#include "runtime/engine_impl.h"
#include "runtime/model_impl.h"
#include "simd/registry.h"
#include "tests/model/random_model.h"

namespace nibble {
namespace {

class MemoryPlanTest : public testing::Test {
 protected:
  void SetUp() override {
    auto engine = Engine::create({.threads = 1, .isa = ""});
    ASSERT_TRUE(engine) << engine.error().message;
    engine_ = *engine;
  }

  ModelMemory plan(const std::string& path, HeadMode head = HeadMode::kScreened) const {
    const auto file = GgufFile::open(path);
    EXPECT_TRUE(file) << file.error().message;
    const auto memory = model_memory(*file, engine_->impl().kernels, head);
    EXPECT_TRUE(memory) << memory.error().message;
    return *memory;
  }

  std::shared_ptr<Engine> engine_;
};

TEST_F(MemoryPlanTest, WeightsAreWhatLoadingPacksOnEveryLevel) {
  for (const IsaLevel& level : isa_levels()) {
    if ((level.required & ~detect_cpu_features()) != 0) continue;
    auto engine = Engine::create({.threads = 1, .isa = std::string(level.name)});
    ASSERT_TRUE(engine) << engine.error().message;
    engine_ = *engine;
    const ModelMemory planned = plan(kModel);
    const auto model = Model::load(engine_, kModel);
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ(planned.packed + planned.in_place, (*model)->weight_bytes()) << level.name;
    EXPECT_EQ(planned.packed, (*model)->impl().packed.size()) << level.name;
    EXPECT_EQ(planned.decode_bytes, (*model)->decode_bytes()) << level.name;
    EXPECT_EQ(planned.int8_products, (*model)->int8_products()) << level.name;
  }
}

TEST_F(MemoryPlanTest, SessionsTakeWhatIsPlanned) {
  const auto model = Model::load(engine_, kModel);
  ASSERT_TRUE(model) << model.error().message;
  const ModelShape& shape = (*model)->impl().network.shape();
  for (const KvFormat kv : {KvFormat::kF16, KvFormat::kF32, KvFormat::kQ8_0, KvFormat::kQ4_0}) {
    for (const int64_t context : {1, 100, 128, 129, 1000, 2048}) {
      for (const int64_t batch : {1, 7, 256, 4096}) {
        SessionOptions options;
        options.context = context;
        options.batch = batch;
        options.kv = kv;
        const auto planned = session_memory(shape, options);
        ASSERT_TRUE(planned) << planned.error().message;
        const auto session = Session::create(*model, options);
        ASSERT_TRUE(session) << session.error().message;
        EXPECT_EQ(planned->kv, (*session)->kv_bytes()) << context << " " << batch;
        EXPECT_EQ(planned->total(), (*session)->memory_bytes()) << context << " " << batch;
      }
    }
  }
}

TEST_F(MemoryPlanTest, EveryArchitectureIsPlannedFromItsHeader) {
  const std::string path = testing::TempDir() + "/nibble_memory_plan.gguf";
  for (const RandomModel& random : random_models()) {
    write_model(random_model(random), path);
    const ModelMemory planned = plan(path);
    const auto model = Model::load(engine_, path);
    ASSERT_TRUE(model) << random.name << model.error().message;
    EXPECT_EQ(planned.packed + planned.in_place, (*model)->weight_bytes()) << random.name;
    EXPECT_EQ(planned.decode_bytes, (*model)->decode_bytes()) << random.name;
  }
}

TEST_F(MemoryPlanTest, TheLargestContextFitsAndOneBlockMoreDoesNot) {
  const ModelShape shape = plan(kModel).shape;
  SessionOptions options;
  const auto bytes = [&](int64_t context) {
    options.context = context;
    return session_memory(shape, options)->total();
  };
  for (const int64_t context : {128, 256, 1024, 1920}) {
    EXPECT_EQ(largest_context(shape, options, bytes(context)), context);
    EXPECT_LT(largest_context(shape, options, bytes(context) - 1), context);
  }
  EXPECT_EQ(largest_context(shape, options, uint64_t{1} << 40), shape.context);
  EXPECT_EQ(largest_context(shape, options, 1), 0);
}

// 1 of 6 layers of Gemma 3 1B keeps all of 32,768 positions, the others a window of 512.
TEST(SessionMemory, CountsSlidingWindows) {
  ModelShape shape;
  shape.layers = 26;
  shape.embedding = 1152;
  shape.feed_forward = 6912;
  shape.heads = 4;
  shape.kv_heads = 1;
  shape.head_dim = 256;
  shape.vocabulary = 262144;
  shape.context = 32768;
  for (size_t i = 0; i < shape.layers; ++i) shape.windows.push_back(i % 6 < 5 ? 512 : 0);
  SessionOptions options;
  options.context = 32768;
  constexpr uint64_t kPosition = 2 * 256 * 2;                // key and value, f16
  constexpr uint64_t kRing = (512 + 255 + 127) / 128 * 128;  // window and batch, in blocks
  EXPECT_EQ(session_memory(shape, options)->kv, (4 * 32768 + 22 * kRing) * kPosition);
  options.batch = 1;
  EXPECT_EQ(session_memory(shape, options)->kv, (4 * 32768 + 22 * 512) * kPosition);
}

TEST(MemoryLimit, IsTheLeastOfWhatIsSet) {
  Topology topology;
  EXPECT_EQ(memory_limit(topology, 0).bytes, 0u);
  topology.memory_bytes = 800;
  EXPECT_EQ(memory_limit(topology, 0).whose, "this machine has");
  topology.memory_limit_bytes = 600;
  EXPECT_EQ(memory_limit(topology, 0).bytes, 600u);
  EXPECT_EQ(memory_limit(topology, 700).bytes, 600u);
  EXPECT_EQ(memory_limit(topology, 500).bytes, 500u);
  EXPECT_EQ(memory_limit(topology, 500).whose, "--memory allows");
}

// What the message offers is tried.
TEST_F(MemoryPlanTest, ARefusalOffersWhatThenFits) {
  const ModelMemory model = plan(kModel);
  LoadOptions options;
  options.session.context = 2048;
  const uint64_t whole = model.total() + session_memory(model.shape, options.session)->total();
  options.memory_limit = whole;
  ASSERT_TRUE(Model::load(engine_, kModel, options));
  options.memory_limit = whole - 1;
  const auto refused = Model::load(engine_, kModel, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOs);
  const std::string& message = refused.error().message;
  EXPECT_NE(message.find("--memory allows"), std::string::npos) << message;
  EXPECT_NE(message.find("-c 1920"), std::string::npos) << message;
  EXPECT_NE(message.find("--kv q8_0"), std::string::npos) << message;
  LoadOptions shorter = options;
  shorter.session.context = 1920;
  EXPECT_TRUE(Model::load(engine_, kModel, shorter));
  LoadOptions smaller = options;
  smaller.session.kv = KvFormat::kQ8_0;
  EXPECT_TRUE(Model::load(engine_, kModel, smaller));

  options.memory_limit = whole;
  options.reserved_bytes = 1;
  EXPECT_FALSE(Model::load(engine_, kModel, options));
  options.reserved_bytes = 0;
  options.memory_limit = 1 << 20;
  const auto hopeless = Model::load(engine_, kModel, options);
  ASSERT_FALSE(hopeless);
  EXPECT_NE(hopeless.error().message.find("use a smaller model"), std::string::npos);
}

}  // namespace
}  // namespace nibble
