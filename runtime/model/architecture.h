// What a model architecture is: one file in this folder that ends in one Architecture record.
//
// All of them are decoder-only transformers, and what tells one from another is a handful of
// choices: which norms and biases its blocks have, how it rotates, which layers see a window. A
// file here reads its papers' choices out of a GGUF file into Hyperparameters; network.cpp holds
// the forward pass that they parametrise. CMake collects the records of all files here, so adding
// an architecture is adding a file. Read next: gemma3.cpp, runtime/network.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/gguf.h"
#include "runtime/kv_cache.h"
#include "runtime/ops/ops.h"

namespace nibble {

// Sizes that the session needs for its memory, the same for every architecture.
struct ModelShape {
  size_t layers = 0;
  size_t embedding = 0;  // n_embd
  size_t feed_forward = 0;
  size_t heads = 0;
  size_t kv_heads = 0;
  size_t head_dim = 0;
  size_t vocabulary = 0;
  int64_t context = 0;          // as trained
  std::vector<size_t> windows;  // per layer, 0: global

  KvShape kv_shape() const { return {kv_heads, head_dim, windows}; }
};

// What is computed, apart from the weights. The defaults are Llama's.
struct Hyperparameters {
  ModelShape shape;
  float eps = 0;              // of all norms
  float embedding_scale = 1;  // of embedded tokens
  Gate gate = Gate::kSilu;

  float attention_scale = 0;    // of the scores; 1 / sqrt(head_dim) where the file says nothing
  float attention_softcap = 0;  // 0: none
  float final_softcap = 0;      // of the logits
  // Queries at `temperature_length` and beyond are scaled with the logarithm of their position
  // (AttentionArgs); 0: none.
  float temperature = 0;
  int64_t temperature_length = 0;

  RopeStyle rope_style = RopeStyle::kNorm;
  RopeParameters rope;
  RopeParameters rope_local;      // of layers with a window; n_rot 0: theirs is that of all
  int64_t long_rope_context = 0;  // contexts beyond it use tensor rope_factors_long; 0: none
  std::vector<bool> no_rope;      // per layer: its positions are not encoded; empty: none such

  // Weights that its blocks have beyond Llama's.
  bool qkv_biases = false;
  bool qk_norms = false;        // of each head
  bool post_norms = false;      // of what attention and feed-forward add to the residual stream
  bool fused_matrices = false;  // Wq, Wk and Wv in one tensor, Wgate and Wup in another
};

class HyperReader;

struct Architecture {
  std::string_view name;  // general.architecture
  // Errors (65) name the key.
  Result<Hyperparameters> (*read)(const HyperReader& read);
};

// All architectures of this binary, by name.
std::span<const Architecture* const> architectures();

// The hyperparameters of a file. Error 65: an architecture or a value that is not supported, or one
// that cannot be.
Result<Hyperparameters> read_hyperparameters(const GgufFile& file);

// Reads the hyperparameters of one architecture ("gemma3." + key), each within its limits.
class HyperReader {
 public:
  HyperReader(const GgufFile& file, std::string prefix)
      : file_(file), prefix_(std::move(prefix) + ".") {}

  // Errors (65): missing without fallback, not finite, or outside [low, high]; named in full.
  Result<size_t> size(std::string_view key, uint64_t low, uint64_t high,
                      std::optional<uint64_t> fallback = {}) const;
  Result<double> real(std::string_view key, double low, double high,
                      std::optional<double> fallback = {}) const;
  bool has(std::string_view key) const { return file_.find(name(key)) != nullptr; }
  std::string name(std::string_view key) const { return prefix_ + std::string(key); }
  const GgufFile& file() const { return file_; }

  // What every decoder-only transformer has; windows are all global. `rope_base` is the family's,
  // for files that leave it out.
  Result<Hyperparameters> common(double rope_base = 10000) const;

  // Which layers see a window of attention.sliding_window: a flag per layer (true: window), or a
  // period (an integer: every n-th layer is global; 0: none is). The fallbacks are the family's.
  Result<void> windows(size_t window, size_t period, ModelShape* shape) const;

  // Error 65 for a key that changes what is computed, is set to more than nothing, and was not read
  // until now.
  Result<void> refuse_unread() const;

 private:
  Result<ModelShape> shape() const;
  Result<void> rope(double base, Hyperparameters* h) const;
  Result<void> yarn(double factor, double trained_context, RopeParameters* rope) const;

  const GgufFile& file_;
  std::string prefix_;
  mutable std::vector<std::string> read_;  // keys that were asked for
};

}  // namespace nibble
