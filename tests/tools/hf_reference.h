// The logits of a model of hf_model.h: the forward pass of the four families as transformers'
// modelling files define it, one token after the other, in double precision.
#pragma once

#include <algorithm>
#include <numbers>

#include "tests/tools/hf_model.h"

namespace nibble::tools_test {

using Vector = std::vector<double>;

class HfReference {
 public:
  explicit HfReference(const HfModel& model)
      : model_(model), gemma_(model.family == "gemma3"), keys_(kLayers), values_(kLayers) {}

  // The logits behind the next token.
  Vector step(int32_t id) {
    const HfTensor& embedding = tensor("model.embed_tokens.weight");
    Vector x(embedding.row(id), embedding.row(id) + kEmbedding);
    for (double& value : x) value *= gemma_ ? std::sqrt(static_cast<double>(kEmbedding)) : 1;
    for (size_t layer = 0; layer < kLayers; ++layer) {
      layer_ = "model.layers." + std::to_string(layer) + ".";
      Vector h = attention(layer, norm(x, layer_ + "input_layernorm.weight"));
      if (gemma_) h = norm(h, layer_ + "post_attention_layernorm.weight");
      add(h, &x);
      h = norm(x, layer_ + (gemma_ ? "pre_feedforward_layernorm.weight"
                                   : "post_attention_layernorm.weight"));
      h = feed_forward(h);
      if (gemma_) h = norm(h, layer_ + "post_feedforward_layernorm.weight");
      add(h, &x);
    }
    ++position_;
    const bool untied = model_.tensors.contains("lm_head.weight");
    return product(untied ? "lm_head.weight" : "model.embed_tokens.weight",
                   norm(x, "model.norm.weight"));
  }

 private:
  const HfTensor& tensor(const std::string& name) const { return model_.tensors.at(name); }

  Vector product(const std::string& name, const Vector& x) const {
    const HfTensor& weights = tensor(name);
    Vector out(weights.shape[0]);
    for (size_t r = 0; r < out.size(); ++r) {
      for (size_t i = 0; i < x.size(); ++i) out[r] += static_cast<double>(weights.row(r)[i]) * x[i];
    }
    return out;
  }

  // A projection with its bias, where the family has one.
  Vector project(const std::string& name, const Vector& x) const {
    Vector out = product(layer_ + name + ".weight", x);
    const auto bias = model_.tensors.find(layer_ + name + ".bias");
    for (size_t i = 0; bias != model_.tensors.end() && i < out.size(); ++i) {
      out[i] += static_cast<double>(bias->second.values[i]);
    }
    return out;
  }

  Vector norm(const Vector& x, const std::string& name) const {
    const std::vector<float>& weights = tensor(name).values;
    Vector out(x.size());
    const size_t n = weights.size();  // of each head for the norms of queries and keys
    for (size_t start = 0; start < x.size(); start += n) {
      double squares = 0;
      for (size_t i = 0; i < n; ++i) squares += x[start + i] * x[start + i];
      const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-6);
      for (size_t i = 0; i < n; ++i) {
        out[start + i] =
            x[start + i] * scale * (static_cast<double>(weights[i]) + (gemma_ ? 1 : 0));
      }
    }
    return out;
  }

  static void add(const Vector& h, Vector* x) {
    for (size_t i = 0; i < h.size(); ++i) (*x)[i] += h[i];
  }

  // The halves of each head turned by the position.
  void rotate(size_t layer, Vector* x) const {
    constexpr size_t kHalf = kHeadDim / 2;
    for (size_t start = 0; start < x->size(); start += kHeadDim) {
      for (size_t i = 0; i < kHalf; ++i) {
        const double angle = static_cast<double>(position_) * frequency(layer, i);
        const double a = (*x)[start + i], b = (*x)[start + kHalf + i];
        (*x)[start + i] = a * std::cos(angle) - b * std::sin(angle);
        (*x)[start + kHalf + i] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
  }

  double frequency(size_t layer, size_t i) const {
    const bool local = gemma_ && layer % 6 != 5;
    const double base = local ? 10000 : 1000;
    const double plain = std::pow(base, -2.0 * static_cast<double>(i) / kHeadDim);
    if (gemma_) return local ? plain : plain / 8;
    if (model_.family != "llama") return plain;
    const double wavelength = 2 * std::numbers::pi / plain;
    if (wavelength < 64 / 4.0) return plain;
    if (wavelength > 64 / 1.0) return plain / 8;
    const double smooth = (64 / wavelength - 1) / (4 - 1);
    return (1 - smooth) * plain / 8 + smooth * plain;
  }

  Vector attention(size_t layer, const Vector& h) {
    Vector q = project("self_attn.q_proj", h), k = project("self_attn.k_proj", h);
    if (gemma_ || model_.family == "qwen3") {
      q = norm(q, layer_ + "self_attn.q_norm.weight");
      k = norm(k, layer_ + "self_attn.k_norm.weight");
    }
    rotate(layer, &q);
    rotate(layer, &k);
    keys_[layer].push_back(k);
    values_[layer].push_back(project("self_attn.v_proj", h));
    const bool windowed = gemma_ && layer % 6 != 5;
    const size_t first = windowed && position_ + 1 > kWindow ? position_ + 1 - kWindow : 0;
    Vector out(q.size());
    for (size_t head = 0; head < kHeads; ++head) {
      const size_t from = head * kHeadDim, kv = head / (kHeads / kKvHeads) * kHeadDim;
      Vector scores;
      for (size_t t = first; t <= position_; ++t) {
        double score = 0;
        for (size_t i = 0; i < kHeadDim; ++i) score += q[from + i] * keys_[layer][t][kv + i];
        scores.push_back(score / std::sqrt(static_cast<double>(kHeadDim)));
      }
      const double most = *std::max_element(scores.begin(), scores.end());
      double sum = 0;
      for (double& score : scores) sum += score = std::exp(score - most);
      for (size_t t = first; t <= position_; ++t) {
        for (size_t i = 0; i < kHeadDim; ++i) {
          out[from + i] += scores[t - first] / sum * values_[layer][t][kv + i];
        }
      }
    }
    return product(layer_ + "self_attn.o_proj.weight", out);
  }

  Vector feed_forward(const Vector& h) const {
    Vector gate = product(layer_ + "mlp.gate_proj.weight", h);
    const Vector up = product(layer_ + "mlp.up_proj.weight", h);
    for (size_t i = 0; i < gate.size(); ++i) {
      const double g = gate[i];
      const double inner = std::sqrt(2 / std::numbers::pi) * (g + 0.044715 * g * g * g);
      gate[i] = (gemma_ ? g * (1 + std::tanh(inner)) / 2 : g / (1 + std::exp(-g))) * up[i];
    }
    return product(layer_ + "mlp.down_proj.weight", gate);
  }

  const HfModel& model_;
  const bool gemma_;
  std::string layer_;
  size_t position_ = 0;
  std::vector<std::vector<Vector>> keys_, values_;  // by layer and position
};

}  // namespace nibble::tools_test
