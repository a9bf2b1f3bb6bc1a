// A decoder-only transformer with its weights: from token ids to hidden states to logits.
//
// One forward pass serves every architecture; Hyperparameters (model/architecture.h) say which
// parts of it there are. Read next: network.cpp, ops/ops.h (the operations it is written in).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"
#include "runtime/kv_cache.h"
#include "runtime/model/architecture.h"
#include "runtime/ops/head.h"
#include "runtime/ops/ops.h"
#include "runtime/weights.h"

namespace nibble {

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
  // Goes on with the wanted rows of x and att alone.
  void keep_wanted(std::span<const Segment> segments);
};

// One evaluation of tokens: those of the segments, one after the other. All caches are of one
// context.
struct Pass {
  Ops& ops;
  Activations& a;
  std::span<const int32_t> ids;
  std::span<const Segment> segments;
  // Behind which layer the residual stream was first seen not to be finite. Asked of every layer:
  // of a prompt it costs 0.1 %, of a decoded token less; says which weights are damaged.
  static constexpr int kNowhere = -2, kEmbedding = -1;
  int broken_at = kNowhere;
};

// Immutable after load() and thread-safe.
class Network {
 public:
  // Reads hyperparameters and asks the loader for tensors. Errors (65) name key or tensor.
  Result<void> load(const GgufFile& file, WeightLoader& loader);

  const ModelShape& shape() const { return h_.shape; }

  // Runs all layers: reads pass.ids, fills the caches, leaves the final hidden states of the wanted
  // tokens in pass.a.x. The last layer goes no further than its keys and values for the others.
  void forward(Pass& pass) const;
  // x = norm(x), what the head reads.
  void final_norm(Ops& ops, Rows x) const;
  // logits[r] = head(norm(x[r])) for the rows given; x is changed. top > 0: it is enough that
  // the `top` largest of each row are exact (ops/head.h).
  void logits(Ops& ops, Rows x, Rows out, size_t top) const;
  // Those of some ids, exactly; x: one state that logits() has normed.
  void exact_logits(Ops& ops, const float* x, std::span<const int32_t> ids,
                    std::span<float> out) const;

  // Calls visit for each weight matrix but embedding and head.
  void each_matrix(const std::function<void(const PackedMatrix&)>& visit) const;

  // Bytes of weights that one decoded token reads, without the head.
  uint64_t layer_bytes() const;

  // Multiply-accumulates of a prompt token in int8 kernels, without attention and head.
  uint64_t int8_products() const;

  // Whether positions are rotated in another way in long contexts.
  bool has_long_rope() const { return h_.long_rope_context > 0; }
  const OutputHead& head() const { return head_; }
  OutputHead& head() { return head_; }

 private:
  // What an architecture lacks is empty.
  struct Layer {
    PackedMatrix q, k, v;                                  // [heads or kv_heads * head_dim][embd]
    PackedMatrix o;                                        // [embd][heads * head_dim]
    PackedMatrix gate, up, down;                           // [ff][embd] twice, [embd][ff]
    std::vector<float> q_bias, k_bias, v_bias;             // as the rows of q, k and v
    std::vector<float> q_norm, k_norm;                     // [head_dim]
    std::vector<float> attention_norm, feed_forward_norm;  // [embd]
    std::vector<float> post_attention_norm, post_feed_forward_norm;  // [embd]
  };
  AttentionArgs attention(const Activations& a, size_t layer) const;
  Result<void> load_layer(size_t index, WeightLoader& loader, Layer* layer) const;
  Result<void> load_rope(const GgufFile& file, WeightLoader& loader);

  Hyperparameters h_;
  RopeParameters long_rope_;  // for contexts beyond h_.long_rope_context
  RowTable embedding_;
  std::vector<Layer> layers_;
  std::vector<float> output_norm_;
  OutputHead head_;
};

}  // namespace nibble
