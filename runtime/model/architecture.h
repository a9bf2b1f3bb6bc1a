// What a model architecture is: one file in this folder that ends in one Architecture record.
//
// CMake collects the records of all files here, so adding an architecture is adding a file. The
// file reads its hyperparameters, names its tensors, and writes its forward pass in the operations
// of ops/ops.h. Read next: gemma3.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/gguf.h"
#include "runtime/kv_cache.h"
#include "runtime/ops/head.h"
#include "runtime/ops/ops.h"
#include "runtime/weights.h"

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

// Scratch of one session for its largest batch m: every buffer a forward pass needs. Views of one
// allocation; the names are those of the papers.
struct Activations {
  Rows x;         // [m][embedding]         the residual stream
  Rows h;         // [m][embedding]         normed input, and output of a block
  Rows q;         // [m][heads * head_dim]
  Rows k, v;      // [m][kv_heads * head_dim]
  Rows att;       // [m][heads * head_dim]
  Rows gate, up;  // [m][feed_forward]
  RopeTable rope, rope_local;

  // Bytes for a batch of m.
  static size_t bytes(const ModelShape& shape, size_t m);
  // Lays the views out in `memory`, for up to m rows.
  void bind(const ModelShape& shape, size_t m, float* memory);
  // Sets the number of rows of this step.
  void resize(size_t m);
};

// One evaluation of m tokens at positions position .. position + m - 1.
struct Pass {
  Ops& ops;
  KvCache& cache;
  Activations& a;
  std::span<const int32_t> ids;
  int64_t position = 0;
};

// A loaded architecture: hyperparameters and weights. Immutable and thread-safe.
class Network {
 public:
  virtual ~Network() = default;
  const ModelShape& shape() const { return shape_; }

  // Runs all layers: reads pass.ids, fills the cache, leaves the last hidden state in pass.a.x.
  virtual void forward(Pass& pass) const = 0;
  // logits[r] = head(norm(x[r])) for the rows given; x is changed. top > 0: it is enough that
  // the `top` largest of each row are exact (ops/head.h).
  virtual void logits(Ops& ops, Rows x, Rows out, size_t top) const = 0;

  // Bytes of weights that one decoded token reads, without the head.
  virtual uint64_t layer_bytes() const = 0;

  const OutputHead& head() const { return head_; }
  OutputHead& head() { return head_; }

 protected:
  // out = head(x), screened where that is possible and asked for.
  void apply_head(Ops& ops, Rows x, Rows out, size_t top) const;

  ModelShape shape_;
  OutputHead head_;
};

struct Architecture {
  std::string_view name;  // general.architecture
  // Reads hyperparameters and asks the loader for tensors. Errors (65) name key or tensor.
  Result<std::unique_ptr<Network>> (*load)(const GgufFile& file, WeightLoader& loader);
};

// All architectures of this binary, by name.
std::span<const Architecture* const> architectures();

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
  bool has(std::string_view key) const { return file_.find(prefix_ + std::string(key)) != nullptr; }
  std::string name(std::string_view key) const { return prefix_ + std::string(key); }
  const GgufFile& file() const { return file_; }

  // The part that every decoder-only transformer has; windows are all global.
  Result<ModelShape> shape() const;

 private:
  const GgufFile& file_;
  std::string prefix_;
};

// Names of a layer's tensors: layer_tensor(3, "attn_q") = "blk.3.attn_q.weight".
std::string layer_tensor(size_t layer, std::string_view name);

// The embedding table and the output head, which is the same tensor when the file has no "output".
Result<void> load_embedding_and_head(WeightLoader& loader, const ModelShape& shape,
                                     RowTable* embedding, OutputHead* head);

}  // namespace nibble
