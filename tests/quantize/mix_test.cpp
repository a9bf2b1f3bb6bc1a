// The mixes against what files of those names hold: the published Gemma 3 1B, and models whose rows
// are all multiples of 256.
#include "runtime/quantize/mix.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace nibble::test {
namespace {

struct Shape {
  uint64_t layers, embedding, feed_forward, heads, kv_heads, head_dim;
};
constexpr Shape kGemma3_1B = {26, 1152, 6912, 4, 1, 256};
constexpr Shape kLlama32_1B = {16, 2048, 8192, 32, 8, 64};
constexpr Shape kGemma3_4B = {34, 2560, 10240, 8, 4, 256};

class Types {
 public:
  Types(const Shape& shape, const char* mix, bool importances = false, bool tied = true)
      : shape_(shape), mix_(*find_mix(mix)) {
    facts_ = {shape.layers, shape.heads / shape.kv_heads, tied, importances};
  }
  std::string of(const std::string& name) const {
    const bool wide = name.find("ffn_down") != std::string::npos;
    const bool heads = name.find("attn_output") != std::string::npos;
    const uint64_t k = wide    ? shape_.feed_forward
                       : heads ? shape_.heads * shape_.head_dim
                               : shape_.embedding;
    return std::string(format_info(fallback(mix_format(mix_, facts_, name), k)).name);
  }
  std::string of(uint64_t layer, const std::string& part) const {
    return of("blk." + std::to_string(layer) + "." + part + ".weight");
  }
  // Types of one part of all layers.
  std::map<std::string, int> count(const std::string& part) const {
    std::map<std::string, int> counts;
    for (uint64_t layer = 0; layer < shape_.layers; ++layer) ++counts[of(layer, part)];
    return counts;
  }
  std::map<std::string, int> count_all() const {
    std::map<std::string, int> counts;
    for (const char* part :
         {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
      for (const auto& [type, n] : count(part)) counts[type] += n;
    }
    ++counts[of("token_embd.weight")];
    return counts;
  }

 private:
  Shape shape_;
  const Mix& mix_;
  MixFacts facts_;
};

using Counts = std::map<std::string, int>;

TEST(Mix, Gemma3_1BAsPublished) {
  EXPECT_EQ(Types(kGemma3_1B, "Q4_K_M").count_all(),
            (Counts{{"Q5_0", 117}, {"Q8_0", 14}, {"Q4_K", 39}, {"Q6_K", 13}}));
  EXPECT_EQ(Types(kGemma3_1B, "Q4_0").count_all(), (Counts{{"Q4_0", 182}, {"Q8_0", 1}}));
  const Types q5(kGemma3_1B, "Q5_K_M");
  EXPECT_EQ(q5.of(0, "attn_q"), "Q5_1");
  EXPECT_EQ(q5.count("attn_v"), (Counts{{"Q8_0", 13}, {"Q5_1", 13}}));
  const Types q3m(kGemma3_1B, "Q3_K_M");
  EXPECT_EQ(q3m.of(0, "ffn_up"), "Q4_0");
  EXPECT_EQ(q3m.count("attn_v"), (Counts{{"Q5_1", 2}, {"Q5_0", 24}}));
  EXPECT_EQ(q3m.count("ffn_down"), (Counts{{"Q5_K", 1}, {"Q4_K", 25}}));
  EXPECT_EQ(Types(kGemma3_1B, "Q3_K_L").count("attn_v"), (Counts{{"Q5_1", 26}}));
  EXPECT_EQ(Types(kGemma3_1B, "Q6_K").count_all(), (Counts{{"Q8_0", 131}, {"Q6_K", 52}}));
  EXPECT_EQ(Types(kGemma3_1B, "IQ4_XS").of(9, "attn_q"), "IQ4_NL");
  EXPECT_EQ(Types(kGemma3_1B, "IQ4_XS").count("attn_v"), (Counts{{"Q5_1", 26}}));
  EXPECT_EQ(Types(kGemma3_1B, "Q2_K").count("attn_v"), (Counts{{"Q5_0", 26}}));
  EXPECT_EQ(Types(kGemma3_1B, "Q2_K").of(0, "attn_k"), "Q4_0");
}

TEST(Mix, RowsOf256) {
  for (const Shape& shape : {kLlama32_1B, kGemma3_4B}) {
    const auto n = static_cast<int>(shape.layers);
    const int half = shape.layers == 16 ? 8 : 17;
    for (const char* mix : {"Q4_K_M", "Q5_K_M"}) {
      const Types types(shape, mix);
      const std::string bulk = std::string(mix).substr(0, 4);
      EXPECT_EQ(types.of(1, "attn_q"), bulk);
      EXPECT_EQ(types.count("attn_output"), (Counts{{bulk, n}}));
      EXPECT_EQ(types.count("attn_v"), (Counts{{"Q6_K", half}, {bulk, n - half}}));
      EXPECT_EQ(types.count("ffn_down"), (Counts{{"Q6_K", half}, {bulk, n - half}}));
      EXPECT_EQ(types.of("token_embd.weight"), "Q6_K");
    }
    const Types q3(shape, "Q3_K_L");
    EXPECT_EQ(q3.of(3, "ffn_gate"), "Q3_K");
    EXPECT_EQ(q3.of(3, "attn_output"), "Q5_K");
    EXPECT_EQ(Types(shape, "Q3_K_S").count("ffn_down"), (Counts{{"Q3_K", n}}));
  }
  EXPECT_EQ(Types(kLlama32_1B, "Q2_K").of(5, "attn_v"), "Q4_K");
  EXPECT_EQ(Types(kGemma3_4B, "Q2_K").of(5, "attn_v"), "Q3_K");
  EXPECT_EQ(Types(kLlama32_1B, "IQ4_NL").of(5, "attn_v"), "Q5_K");
  EXPECT_EQ(Types(kGemma3_4B, "IQ4_NL").of(5, "attn_v"), "IQ4_NL");
  EXPECT_EQ(Types(kLlama32_1B, "Q4_K_S").count("ffn_down"), (Counts{{"Q5_K", 2}, {"Q4_K", 14}}));
  EXPECT_EQ(Types(kLlama32_1B, "Q4_K_S").count("attn_v"), (Counts{{"Q5_K", 4}, {"Q4_K", 12}}));
}

TEST(Mix, ImportancesChangeTheFirstEighth) {
  EXPECT_EQ(Types(kLlama32_1B, "Q4_0").of(0, "ffn_down"), "Q4_0");
  EXPECT_EQ(Types(kLlama32_1B, "Q4_0", true).of(0, "ffn_down"), "Q4_1");
  EXPECT_EQ(Types(kLlama32_1B, "Q4_0", true).of(2, "ffn_down"), "Q4_0");
  EXPECT_EQ(Types(kLlama32_1B, "IQ4_XS").of(0, "ffn_down"), "Q5_K");
  EXPECT_EQ(Types(kLlama32_1B, "IQ4_XS", true).of(0, "ffn_down"), "IQ4_XS");
}

TEST(Mix, EmbeddingAndHead) {
  EXPECT_EQ(Types(kLlama32_1B, "Q4_K_M", false, false).of("token_embd.weight"), "Q4_K");
  EXPECT_EQ(Types(kLlama32_1B, "Q4_K_M", false, false).of("output.weight"), "Q6_K");
  EXPECT_EQ(Types(kLlama32_1B, "Q8_0").of("token_embd.weight"), "Q8_0");
  EXPECT_EQ(Types(kLlama32_1B, "F16").of("token_embd.weight"), "F16");
}

TEST(Mix, NamesInAnyCase) {
  EXPECT_EQ(find_mix("q4_k_m")->name, "Q4_K_M");
  EXPECT_EQ(find_mix("Q4_K")->name, "Q4_K_M");
  EXPECT_EQ(find_mix("Q9_K"), nullptr);
  EXPECT_EQ(find_mix(""), nullptr);
  EXPECT_EQ(find_quantized_format("iq4_nl"), Format::kIQ4_NL);
  EXPECT_EQ(find_quantized_format("Q4_K_M"), std::nullopt);
}

TEST(Mix, RowsThatFitNoBlock) {
  EXPECT_EQ(fallback(Format::kQ4_K, 512), Format::kQ4_K);
  EXPECT_EQ(fallback(Format::kQ4_K, 96), Format::kQ5_0);
  EXPECT_EQ(fallback(Format::kQ6_K, 96), Format::kQ8_0);
  EXPECT_EQ(fallback(Format::kQ4_K, 100), Format::kF16);
  EXPECT_EQ(fallback(Format::kQ4_0, 100), Format::kF16);
  EXPECT_EQ(fallback(Format::kF32, 100), Format::kF32);
}

TEST(Mix, NormsAndVectorsStay) {
  EXPECT_TRUE(is_quantizable("blk.0.ffn_up.weight", 2));
  EXPECT_FALSE(is_quantizable("blk.0.ffn_up.weight", 1));
  EXPECT_FALSE(is_quantizable("blk.0.attn_norm.weight", 2));
  EXPECT_FALSE(is_quantizable("blk.0.ffn_up.bias", 2));
  EXPECT_FALSE(is_quantizable("blk.0.ffn_gate_inp.weight", 2));
}

}  // namespace
}  // namespace nibble::test
