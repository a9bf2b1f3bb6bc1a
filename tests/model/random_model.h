// Small models of random weights, one or more for each architecture: the same bytes on every
// machine, so that an independent runtime's results for them can be recorded (tests/golden).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "runtime/file/concat.h"
#include "simd/format.h"
#include "tests/model/edited_model.h"

namespace nibble {

struct RandomModel {
  const char* name;
  const char* architecture;
  uint32_t layers, embedding, feed_forward, heads, kv_heads, head_dim;
  std::vector<std::pair<const char*, GgufValue>> keys =
      {};                                       // after "architecture.", beyond the usual
  std::vector<const char*> rope_divisors = {};  // tensors [n_rot / 2]
  uint32_t n_rot = 0;                           // 0: head_dim
  bool own_head = false;                        // "output", else that of the embedding
};

inline void PrintTo(const RandomModel& model, std::ostream* out) {
  *out << model.name;
}

inline constexpr uint32_t kRandomVocabulary = 48;

inline GgufValue uint_value(uint64_t value) {
  return {GgufType::kUint32, value};
}
inline GgufValue float_value(double value) {
  return {GgufType::kFloat32, value};
}
inline GgufValue string_value(const std::string& value) {
  return {GgufType::kString, value};
}

// Every architecture, and every kind of rotation, window and cap that one of them can have.
inline const std::vector<RandomModel>& random_models() {
  static const std::vector<RandomModel> models = {
      {.name = "llama",
       .architecture = "llama",
       .layers = 2,
       .embedding = 72,
       .feed_forward = 100,
       .heads = 6,
       .kv_heads = 3,
       .head_dim = 12,
       .own_head = true},
      {.name = "llama_wide_heads",
       .architecture = "llama",
       .layers = 2,
       .embedding = 72,
       .feed_forward = 100,
       .heads = 4,
       .kv_heads = 4,
       .head_dim = 20},
      {.name = "llama_rope_freqs",
       .architecture = "llama",
       .layers = 2,
       .embedding = 64,
       .feed_forward = 96,
       .heads = 4,
       .kv_heads = 1,
       .head_dim = 16,
       .rope_divisors = {"rope_freqs.weight"}},
      {.name = "llama_linear",
       .architecture = "llama",
       .layers = 2,
       .embedding = 64,
       .feed_forward = 96,
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 16,
       .keys = {{"rope.scaling.type", string_value("linear")},
                {"rope.scaling.factor", float_value(4)}}},
      {.name = "mistral3",
       .architecture = "mistral3",
       .layers = 3,
       .embedding = 64,
       .feed_forward = 96,
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 32,
       .keys = {{"rope.scaling.type", string_value("yarn")},
                {"rope.scaling.factor", float_value(16)},
                {"rope.scaling.original_context_length", uint_value(32)},
                {"rope.scaling.yarn_beta_fast", float_value(4)},
                {"rope.scaling.yarn_beta_slow", float_value(0.5)},
                {"rope.scaling.yarn_log_multiplier", float_value(0.5)},
                {"attention.temperature_scale", float_value(0.3)}}},
      {.name = "smollm3",
       .architecture = "smollm3",
       .layers = 5,
       .embedding = 64,
       .feed_forward = 96,
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 16},
      {.name = "qwen2",
       .architecture = "qwen2",
       .layers = 3,
       .embedding = 84,
       .feed_forward = 72,
       .heads = 6,
       .kv_heads = 2,
       .head_dim = 14,
       .own_head = true},
      {.name = "qwen2_yarn",
       .architecture = "qwen2",
       .layers = 2,
       .embedding = 128,
       .feed_forward = 72,
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 32,
       .keys = {{"rope.scaling.type", string_value("yarn")},
                {"rope.scaling.factor", float_value(4)},
                {"rope.scaling.original_context_length", uint_value(64)}}},
      {.name = "qwen3",
       .architecture = "qwen3",
       .layers = 3,
       .embedding = 64,
       .feed_forward = 96,
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 32},
      {.name = "gemma",
       .architecture = "gemma",
       .layers = 3,
       .embedding = 64,
       .feed_forward = 96,
       .heads = 4,
       .kv_heads = 1,
       .head_dim = 24},
      {.name = "gemma2",
       .architecture = "gemma2",
       .layers = 4,
       .embedding = 64,
       .feed_forward = 96,
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 24,
       .keys = {{"attention.sliding_window", uint_value(24)},
                {"attn_logit_softcapping", float_value(2)},
                {"final_logit_softcapping", float_value(3)}}},
      {.name = "gemma3",
       .architecture = "gemma3",
       .layers = 7,
       .embedding = 64,
       .feed_forward = 96,
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 16,
       .keys = {{"attention.sliding_window", uint_value(24)},
                {"rope.scaling.type", string_value("linear")},
                {"rope.scaling.factor", float_value(8)}}},
      {.name = "phi3",
       .architecture = "phi3",
       .layers = 3,
       .embedding = 72,
       .feed_forward = 100,
       .heads = 6,
       .kv_heads = 3,
       .head_dim = 12,
       .own_head = true},
      {.name = "phi3_short",
       .architecture = "phi3",
       .layers = 2,
       .embedding = 64,
       .feed_forward = 96,
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 16,
       .keys = {{"rope.scaling.original_context_length", uint_value(256)},
                {"rope.scaling.attn_factor", float_value(1.25)}},
       .rope_divisors = {"rope_factors_long.weight", "rope_factors_short.weight"},
       .n_rot = 12},
      {.name = "phi3_long",
       .architecture = "phi3",
       .layers = 2,
       .embedding = 64,
       .feed_forward = 96,
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 16,
       .keys = {{"rope.scaling.original_context_length", uint_value(64)},
                {"rope.scaling.attn_factor", float_value(1.25)}},
       .rope_divisors = {"rope_factors_long.weight", "rope_factors_short.weight"},
       .n_rot = 12},
  };
  return models;
}

// Adds tensors of random numbers, each its own: splitmix64 (Steele, Lea, Flood 2014), whose upper
// 24 bits become a number in [-1, 1). Nothing here rounds differently on another machine.
class RandomTensors {
 public:
  explicit RandomTensors(EditedModel* model) : model_(model) {}

  // mean + deviation * sqrt(3) * [-1, 1), where mean and deviation are those of the numbers.
  void add(const std::string& name, const std::vector<uint64_t>& dims, float mean,
           float deviation) {
    EditedTensor tensor{name, format_info(Format::kF32).gguf_id, dims, {}};
    size_t count = 1;
    for (const uint64_t d : dims) count *= d;
    tensor.data.resize(count * sizeof(float));
    const float half_width = std::sqrt(3.0f) * deviation;
    for (size_t i = 0; i < count; ++i) {
      const auto bits = static_cast<int32_t>(next() >> 40) - (1 << 23);
      const float value = mean + half_width * (static_cast<float>(bits) / (1 << 23));
      std::memcpy(tensor.data.data() + i * sizeof(float), &value, sizeof(value));
    }
    model_->tensors.push_back(std::move(tensor));
  }
  void matrix(const std::string& name, uint64_t k, uint64_t n) {
    add(name, {k, n}, 0, 1 / std::sqrt(static_cast<float>(k)));
  }
  void norm(const std::string& name, uint64_t n) { add(name, {n}, 1, 0.2f); }
  void bias(const std::string& name, uint64_t n) { add(name, {n}, 0, 0.5f); }

 private:
  uint64_t next() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }
  EditedModel* model_;
  uint64_t state_ = 0;
};

inline void add_random_layer(const RandomModel& m, uint32_t layer, RandomTensors* tensors) {
  const std::string name = m.architecture;
  const std::string block = "blk." + std::to_string(layer) + ".";
  const uint64_t q_rows = uint64_t{m.heads} * m.head_dim;
  const uint64_t kv_rows = uint64_t{m.kv_heads} * m.head_dim;
  tensors->norm(block + "attn_norm.weight", m.embedding);
  if (name == "phi3") {
    tensors->matrix(block + "attn_qkv.weight", m.embedding, q_rows + 2 * kv_rows);
    tensors->matrix(block + "ffn_up.weight", m.embedding, 2 * m.feed_forward);
  } else {
    tensors->matrix(block + "attn_q.weight", m.embedding, q_rows);
    tensors->matrix(block + "attn_k.weight", m.embedding, kv_rows);
    tensors->matrix(block + "attn_v.weight", m.embedding, kv_rows);
    tensors->matrix(block + "ffn_gate.weight", m.embedding, m.feed_forward);
    tensors->matrix(block + "ffn_up.weight", m.embedding, m.feed_forward);
  }
  tensors->matrix(block + "attn_output.weight", q_rows, m.embedding);
  tensors->norm(block + "ffn_norm.weight", m.embedding);
  tensors->matrix(block + "ffn_down.weight", m.feed_forward, m.embedding);
  if (name == "qwen2") {
    tensors->bias(block + "attn_q.bias", q_rows);
    tensors->bias(block + "attn_k.bias", kv_rows);
    tensors->bias(block + "attn_v.bias", kv_rows);
  }
  if (name == "qwen3" || name == "gemma3") {
    tensors->norm(block + "attn_q_norm.weight", m.head_dim);
    tensors->norm(block + "attn_k_norm.weight", m.head_dim);
  }
  if (name == "gemma2" || name == "gemma3") {
    tensors->norm(block + "post_attention_norm.weight", m.embedding);
    tensors->norm(block + "post_ffw_norm.weight", m.embedding);
  }
}

inline void add_random_vocabulary(EditedModel* model) {
  GgufArray texts, scores, types;
  texts.type = GgufType::kString;
  scores.type = GgufType::kFloat32;
  types.type = GgufType::kInt32;
  for (uint32_t i = 0; i < kRandomVocabulary; ++i) {
    texts.strings.push_back(concat("t", i));
    scores.floats.push_back(-static_cast<double>(i));
    types.ints.push_back(i == 0 ? 2 : i < 3 ? 3 : i == 3 ? 6 : 1);
  }
  const char* const special[] = {"<unk>", "<s>", "</s>", "<0x0A>"};
  std::copy(std::begin(special), std::end(special), texts.strings.begin());
  model->set("tokenizer.ggml.model", string_value("llama"));
  model->set("tokenizer.ggml.tokens", {GgufType::kArray, texts});
  model->set("tokenizer.ggml.scores", {GgufType::kArray, scores});
  model->set("tokenizer.ggml.token_type", {GgufType::kArray, types});
  model->set_uint("tokenizer.ggml.bos_token_id", 1);
  model->set_uint("tokenizer.ggml.eos_token_id", 2);
}

inline EditedModel random_model(const RandomModel& m) {
  EditedModel model;
  const std::string prefix = std::string(m.architecture) + ".";
  model.set("general.architecture", string_value(m.architecture));
  model.set_uint(prefix + "context_length", 256);
  model.set_uint(prefix + "embedding_length", m.embedding);
  model.set_uint(prefix + "block_count", m.layers);
  model.set_uint(prefix + "feed_forward_length", m.feed_forward);
  model.set_uint(prefix + "attention.head_count", m.heads);
  model.set_uint(prefix + "attention.head_count_kv", m.kv_heads);
  model.set_uint(prefix + "attention.key_length", m.head_dim);
  model.set_uint(prefix + "attention.value_length", m.head_dim);
  model.set_uint(prefix + "rope.dimension_count", m.n_rot != 0 ? m.n_rot : m.head_dim);
  model.set_float(prefix + "attention.layer_norm_rms_epsilon", 1e-5f);
  model.set_float(prefix + "rope.freq_base", 10000);
  for (const auto& [key, value] : m.keys) model.set(prefix + key, value);
  add_random_vocabulary(&model);

  RandomTensors tensors(&model);
  tensors.matrix("token_embd.weight", m.embedding, kRandomVocabulary);
  tensors.norm("output_norm.weight", m.embedding);
  if (m.own_head) tensors.matrix("output.weight", m.embedding, kRandomVocabulary);
  for (const char* name : m.rope_divisors) {
    tensors.add(name, {(m.n_rot != 0 ? m.n_rot : m.head_dim) / 2}, 4, 1.5f);
  }
  for (uint32_t layer = 0; layer < m.layers; ++layer) add_random_layer(m, layer, &tensors);
  return model;
}

// What the records were made from: long enough for windows to pass and blocks of keys to fill.
inline std::vector<int32_t> random_prompt() {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 150; ++i) ids.push_back(3 + (i * i * 7 + i * 3) % 45);
  return ids;
}

}  // namespace nibble
