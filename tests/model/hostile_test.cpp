// Model files whose container is sound and whose content is not: what a loader must refuse, naming
// what is wrong. Each case edits the built-in model.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "nibble/nibble.h"
#include "tests/model/random_model.h"

namespace nibble {
namespace {

struct HostileCase {
  const char* name;
  std::function<void(EditedModel&)> edit;
  std::vector<std::string> expected;  // parts of the message
};

void PrintTo(const HostileCase& c, std::ostream* out) {
  *out << c.name;
}

class HostileModelTest : public testing::TestWithParam<HostileCase> {};

TEST_P(HostileModelTest, IsRefusedByName) {
  EditedModel model = read_model();
  GetParam().edit(model);
  const std::string path = testing::TempDir() + "nibble-hostile-" + std::to_string(getpid()) + "-" +
                           GetParam().name + ".gguf";
  write_model(model, path);
  auto engine = Engine::create({.threads = 2, .isa = ""});
  ASSERT_TRUE(engine);
  const auto loaded = Model::load(*engine, path);
  unlink(path.c_str());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::kData);
  for (const std::string& part : GetParam().expected) {
    EXPECT_NE(loaded.error().message.find(part), std::string::npos) << loaded.error().message;
  }
}

void put_half(EditedTensor& tensor, size_t offset, uint16_t bits) {
  std::memcpy(tensor.data.data() + offset, &bits, sizeof(bits));
}

const HostileCase kCases[] = {
    {"missing_tensor",
     [](EditedModel& m) {
       std::erase_if(m.tensors, [](auto& t) { return t.name == "blk.3.ffn_up.weight"; });
     },
     {"blk.3.ffn_up.weight", "[256, 512]", "missing"}},
    {"missing_embedding",
     [](EditedModel& m) {
       std::erase_if(m.tensors, [](auto& t) { return t.name == "token_embd.weight"; });
     },
     {"token_embd.weight", "missing"}},
    {"wrong_shape",
     [](EditedModel& m) {
       m.tensor("blk.0.attn_q.weight").dims = {512, 128};
     },
     {"blk.0.attn_q.weight", "[512, 128]", "expected [256, 256]"}},
    {"unsupported_type",
     [](EditedModel& m) {
       EditedTensor& t = m.tensor("blk.3.ffn_up.weight");
       t.type_id = 19;  // IQ1_S: 50 bytes for 256
       t.data.resize(512 * 50);
     },
     {"blk.3.ffn_up.weight", "IQ1_S", "not supported"}},
    {"no_heads",
     [](EditedModel& m) { m.set_uint("gemma3.attention.head_count", 0); },
     {"gemma3.attention.head_count is 0", "1 to"}},
    {"kv_heads_do_not_divide",
     [](EditedModel& m) { m.set_uint("gemma3.attention.head_count_kv", 3); },
     {"gemma3.attention.head_count_kv is 3", "does not divide"}},
    {"a_million_layers",
     [](EditedModel& m) { m.set_uint("gemma3.block_count", 1000000); },
     {"gemma3.block_count is 1000000", "1 to 1024"}},
    {"more_layers_than_tensors",
     [](EditedModel& m) { m.set_uint("gemma3.block_count", 7); },
     {"blk.6.attn_norm.weight", "missing"}},
    {"epsilon_nan",
     [](EditedModel& m) { m.set_float("gemma3.attention.layer_norm_rms_epsilon", std::nan("")); },
     {"gemma3.attention.layer_norm_rms_epsilon", "nan"}},
    {"rope_base_infinite",
     [](EditedModel& m) {
       m.set_float("gemma3.rope.freq_base", std::numeric_limits<double>::infinity());
     },
     {"gemma3.rope.freq_base", "inf"}},
    {"rope_base_of_wrong_type",
     [](EditedModel& m) {
       m.set("gemma3.rope.freq_base", {GgufType::kString, std::string("x")});
     },
     {"gemma3.rope.freq_base"}},
    {"odd_head_dim",
     [](EditedModel& m) { m.set_uint("gemma3.attention.key_length", 63); },
     {"gemma3.attention.key_length", "63"}},
    {"unknown_architecture",
     [](EditedModel& m) {
       m.set("general.architecture", {GgufType::kString, std::string("mamba9")});
     },
     {"mamba9", "gemma3", "llama"}},
    {"unknown_rope_scaling",
     [](EditedModel& m) {
       m.set("gemma3.rope.scaling.type", {GgufType::kString, std::string("dynamic")});
     },
     {"gemma3.rope.scaling.type", "dynamic", "linear"}},
    {"norm_not_finite",
     [](EditedModel& m) {
       const float value = std::numeric_limits<float>::quiet_NaN();
       std::memcpy(m.tensor("blk.2.attn_norm.weight").data.data() + 5 * 4, &value, 4);
     },
     {"blk.2.attn_norm.weight", "element 5", "not finite"}},
    {"tokens_than_rows",
     [](EditedModel& m) {
       EditedTensor& t = m.tensor("token_embd.weight");
       t.dims[1] = 2000;
       t.data.resize(2000 * 256 * 2);
     },
     {"2048", "2000"}},
};

INSTANTIATE_TEST_SUITE_P(Files, HostileModelTest, testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

// Scales are looked at where matrices are packed, or show as logits that are not finite.
TEST(HostileModelTest, ScaleNotFiniteIsFoundBeforeAnythingIsGenerated) {
  EditedModel model = read_model();
  put_half(model.tensor("blk.1.ffn_down.weight"), (3 * 16 + 7) * 18,
           0x7e00);  // row 3, block 7: NaN
  const std::string path = testing::TempDir() + "nibble-nan-" + std::to_string(getpid()) + ".gguf";
  write_model(model, path);
  for (const char* isa : {"", "scalar"}) {
    auto engine = Engine::create({.threads = 2, .isa = isa});
    const auto loaded = Model::load(*engine, path);
    if (!loaded) {
      EXPECT_EQ(loaded.error().code, ErrorCode::kData);
      for (const char* part : {"blk.1.ffn_down.weight", "row 3", "block 7", "not finite"}) {
        EXPECT_NE(loaded.error().message.find(part), std::string::npos) << loaded.error().message;
      }
      continue;
    }
    auto session = Session::create(*loaded, {});
    ASSERT_TRUE(session);
    std::string text;
    const auto done = (*session)->complete("Once upon a time", {}, [&](std::string_view t) {
      text += t;
      return true;
    });
    ASSERT_FALSE(done) << isa;
    EXPECT_EQ(done.error().code, ErrorCode::kData);
    EXPECT_NE(done.error().message.find("not finite"), std::string::npos);
    EXPECT_NE(done.error().message.find("layer 1 (blk.1)"), std::string::npos);
    EXPECT_EQ(text, "");
  }
  unlink(path.c_str());
}

// Matrices of floats are not looked at while loading.
TEST(HostileModelTest, TheLayerWhereNumbersBrokeIsNamed) {
  struct Damage {
    const char* model;
    const char* tensor;
    float value;
    const char* said;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const Damage kDamages[] = {
      {"gemma3", "blk.0.attn_q.weight", nan, "layer 0 (blk.0)"},
      {"gemma3", "blk.4.ffn_down.weight", nan, "layer 4 (blk.4)"},
      {"gemma3", "blk.6.attn_output.weight", -infinity, "layer 6 (blk.6)"},
      {"llama", "blk.1.attn_v.weight", infinity, "layer 1 (blk.1)"},
      {"llama", "output.weight", nan, "the output head"},
  };
  const std::string path =
      testing::TempDir() + "nibble-layer-" + std::to_string(getpid()) + ".gguf";
  auto engine = Engine::create({.threads = 2, .isa = ""});
  ASSERT_TRUE(engine);
  for (const Damage& damage : kDamages) {
    SCOPED_TRACE(damage.tensor);
    const auto& shapes = random_models();
    EditedModel model = random_model(*std::find_if(shapes.begin(), shapes.end(), [&](auto& m) {
      return std::string(m.name) == damage.model;
    }));
    std::memcpy(model.tensor(damage.tensor).data.data() + 9 * sizeof(float), &damage.value,
                sizeof(float));
    write_model(model, path);
    const auto loaded = Model::load(*engine, path);
    if (!loaded) {
      ADD_FAILURE() << loaded.error().message;
      continue;
    }
    // The prompt is read in several steps, of which only the last has logits.
    auto session = Session::create(*loaded, {.batch = 16});
    ASSERT_TRUE(session);
    const auto done = (*session)->generate(random_prompt(), {});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::kData);
    EXPECT_NE(done.error().message.find("not finite at position"), std::string::npos);
    EXPECT_NE(done.error().message.find(damage.said), std::string::npos) << done.error().message;
  }
  unlink(path.c_str());
}

}  // namespace
}  // namespace nibble
