// Small models as Hugging Face has them: directories with random weights, and what such a model
// computes, in double precision and straight from its published definition.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

namespace nibble::tools_test {

using Json = nlohmann::json;

struct HfTensor {
  std::vector<uint64_t> shape;
  std::vector<float> values;  // no more than BF16 holds
  std::string dtype = "F32";
  const float* row(size_t r) const { return values.data() + r * shape.back(); }
};
using HfTensors = std::map<std::string, HfTensor>;

struct HfModel {
  std::string family;  // "gemma3", "llama", "qwen2", "qwen3"
  Json config;
  HfTensors tensors;
  Json tokenizer, tokenizer_config;
  std::string prefix = "model.";

  uint64_t size(const char* key) const { return text_config().at(key).get<uint64_t>(); }
  const Json& text_config() const {
    return config.contains("text_config") ? config["text_config"] : config;
  }
};

constexpr uint64_t kLayers = 7, kEmbedding = 64, kFeedForward = 96, kHeads = 4, kKvHeads = 2;
constexpr uint64_t kHeadDim = 16, kWindow = 8, kRows = 320;  // of the embedding

inline void add_random(const std::string& name, const std::vector<uint64_t>& shape, float mean,
                       float deviation, HfTensors* tensors) {
  std::mt19937 generator(static_cast<uint32_t>(tensors->size()) + 1);
  std::normal_distribution<float> normal(mean, deviation);
  HfTensor tensor{shape, {}};
  uint64_t count = 1;
  for (const uint64_t dim : shape) count *= dim;
  for (uint64_t i = 0; i < count; ++i) {
    const float value = normal(generator);
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    bits &= 0xffff0000u;
    float rounded;
    std::memcpy(&rounded, &bits, sizeof(bits));
    tensor.values.push_back(rounded);
  }
  (*tensors)[name] = std::move(tensor);
}

inline Json hf_config(const std::string& family) {
  static const std::map<std::string, std::string> classes = {{"gemma3", "Gemma3ForCausalLM"},
                                                             {"llama", "LlamaForCausalLM"},
                                                             {"qwen2", "Qwen2ForCausalLM"},
                                                             {"qwen3", "Qwen3ForCausalLM"}};
  Json config = {{"architectures", {classes.at(family)}},
                 {"hidden_size", kEmbedding},
                 {"intermediate_size", kFeedForward},
                 {"num_hidden_layers", kLayers},
                 {"num_attention_heads", kHeads},
                 {"num_key_value_heads", kKvHeads},
                 {"head_dim", kHeadDim},
                 {"max_position_embeddings", 128},
                 {"rms_norm_eps", 1e-6},
                 {"rope_theta", 1000.0},
                 {"tie_word_embeddings", family != "llama"}};
  if (family == "gemma3") {
    config["sliding_window"] = kWindow;
    config["hidden_activation"] = "gelu_pytorch_tanh";
    config["query_pre_attn_scalar"] = kHeadDim;
    config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
  }
  if (family == "llama") {
    config["rope_scaling"] = {{"rope_type", "llama3"},
                              {"factor", 8.0},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", 4.0},
                              {"original_max_position_embeddings", 64}};
  }
  return config;
}

inline HfModel make_hf_model(const std::string& family) {
  HfModel model;
  model.family = family;
  model.config = hf_config(family);
  const bool gemma = family == "gemma3";
  const auto norm = [&](const std::string& name, uint64_t n) {
    add_random(name, {n}, gemma ? 0 : 1, 0.2f, &model.tensors);
  };
  const auto matrix = [&](const std::string& name, uint64_t rows, uint64_t columns) {
    const float deviation = 1 / std::sqrt(static_cast<float>(columns));
    add_random(name, {rows, columns}, 0, deviation, &model.tensors);
  };
  constexpr uint64_t kQuery = kHeads * kHeadDim, kKeyValue = kKvHeads * kHeadDim;
  matrix("model.embed_tokens.weight", kRows, kEmbedding);
  norm("model.norm.weight", kEmbedding);
  if (family == "llama") matrix("lm_head.weight", kRows, kEmbedding);
  for (uint64_t layer = 0; layer < kLayers; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    norm(at + "input_layernorm.weight", kEmbedding);
    norm(at + "post_attention_layernorm.weight", kEmbedding);
    if (gemma) {
      norm(at + "pre_feedforward_layernorm.weight", kEmbedding);
      norm(at + "post_feedforward_layernorm.weight", kEmbedding);
    }
    if (gemma || family == "qwen3") {
      norm(at + "self_attn.q_norm.weight", kHeadDim);
      norm(at + "self_attn.k_norm.weight", kHeadDim);
    }
    matrix(at + "self_attn.q_proj.weight", kQuery, kEmbedding);
    matrix(at + "self_attn.k_proj.weight", kKeyValue, kEmbedding);
    matrix(at + "self_attn.v_proj.weight", kKeyValue, kEmbedding);
    matrix(at + "self_attn.o_proj.weight", kEmbedding, kQuery);
    if (family == "qwen2") {
      add_random(at + "self_attn.q_proj.bias", {kQuery}, 0, 0.5f, &model.tensors);
      add_random(at + "self_attn.k_proj.bias", {kKeyValue}, 0, 0.5f, &model.tensors);
      add_random(at + "self_attn.v_proj.bias", {kKeyValue}, 0, 0.5f, &model.tensors);
    }
    matrix(at + "mlp.gate_proj.weight", kFeedForward, kEmbedding);
    matrix(at + "mlp.up_proj.weight", kFeedForward, kEmbedding);
    matrix(at + "mlp.down_proj.weight", kEmbedding, kFeedForward);
  }
  return model;
}

// The bytes of a safetensors file.
inline std::string safetensors_bytes(const HfTensors& tensors) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    for (const float value : tensor.values) {
      char bytes[sizeof(value)];
      std::memcpy(bytes, &value, sizeof(value));
      data += tensor.dtype == "BF16" ? std::string(bytes + 2, 2) : std::string(bytes, 4);
    }
    header[name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text + data;
}

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// Writes the directory; with several shards, the tensors are dealt out in turn.
inline void write_hf_model(const HfModel& model, const std::string& folder, size_t shards = 1) {
  write_text(folder + "/config.json", model.config.dump(1));
  write_text(folder + "/tokenizer.json", model.tokenizer.dump());
  write_text(folder + "/tokenizer_config.json", model.tokenizer_config.dump(1));
  if (shards == 1) {
    write_text(folder + "/model.safetensors", safetensors_bytes(model.tensors));
    return;
  }
  std::vector<HfTensors> parts(shards);
  Json map;
  size_t next = 0;
  for (const auto& [name, tensor] : model.tensors) {
    const size_t part = next++ % shards;
    parts[part][name] = tensor;
    map[name] = "model-" + std::to_string(part) + ".safetensors";
  }
  for (size_t i = 0; i < shards; ++i) {
    write_text(folder + "/model-" + std::to_string(i) + ".safetensors",
               safetensors_bytes(parts[i]));
  }
  write_text(folder + "/model.safetensors.index.json",
             Json{{"metadata", {{"total_size", 1}}}, {"weight_map", map}}.dump());
}

}  // namespace nibble::tools_test
