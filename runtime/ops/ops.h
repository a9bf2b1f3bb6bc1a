// The operations a model is written in, on the engine's team and kernels.
//
// Activations are float rows, [m][cols], of a session's scratch memory. Each function is one or two
// parallel regions (or none when the work is small) and returns when it is done. Rows of outputs
// are what threads share, never a sum, so results do not depend on the team's size.
// One thread at a time per Ops. Read next: network.cpp (the user), matmul.cpp, attention.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "runtime/kv_cache.h"
#include "runtime/machine/thread_team.h"
#include "runtime/ops/kernel_set.h"
#include "runtime/weights.h"

namespace nibble {

// m rows of `cols` floats, `stride` apart. A view.
struct Rows {
  float* data = nullptr;
  size_t m = 0;
  size_t cols = 0;
  size_t stride = 0;
  float* row(size_t t) const { return data + t * stride; }
};

enum class Gate { kGelu, kSilu };
enum class RopeStyle { kNeox, kNorm };

// Tokens of one conversation among the rows of a step, which follow one another from `position` on.
struct Segment {
  KvCache* cache = nullptr;
  int64_t position = 0;
  size_t m = 0;
  size_t wanted = 0;  // of them, from the last, whose final hidden state is asked for
};

// cos and sin of every rotation of a step: [m][n_rot/2] each. One per rope base.
struct RopeTable {
  std::vector<float> cos;
  std::vector<float> sin;
  size_t n_rot = 0;
};

// How positions become angles: angle(p, i) = p * scale * base^(-2i/n_rot) / divisors[i].
// Su et al. 2021 (RoFormer); scale: linear position interpolation (Chen et al. 2023).
struct RopeParameters {
  double base = 10000;
  double scale = 1;
  double magnitude = 1;  // of what is rotated (YaRN, LongRoPE)
  size_t n_rot = 0;
  std::vector<double> divisors;  // Llama 3.x, YaRN, LongRoPE; empty: ones
};
void fill_rope(const RopeParameters& parameters, std::span<const Segment> segments,
               RopeTable* table);

// One layer's attention, all that its heads share.
struct AttentionArgs {
  size_t layer = 0;
  size_t heads = 0;
  size_t kv_heads = 0;
  size_t head_dim = 0;
  float scale = 1;    // of the scores
  float softcap = 0;  // 0: none
  // Queries of position p are also scaled by 1 + temperature * ln(1 + p / temperature_length), the
  // quotient rounded down (Llama 4's attention temperature); 0: none.
  float temperature = 0;
  int64_t temperature_length = 1;
  const float* q_norm = nullptr;  // [head_dim], null: none
  const float* k_norm = nullptr;
  float norm_eps = 0;
  RopeStyle style = RopeStyle::kNeox;
  const RopeTable* rope = nullptr;  // null: no rotation
};

// Scratch of one session, allocated once for its largest batch and its context.
class OpsScratch {
 public:
  struct Sizes {
    size_t batch = 0;      // most rows at once
    size_t max_depth = 0;  // longest row that goes into a matrix product
    size_t heads = 0;
    size_t head_dim = 0;
    size_t context = 0;
  };
  static Result<OpsScratch> create(const Sizes& sizes);
  // What create() will allocate.
  static uint64_t bytes(const Sizes& sizes);
  // Wants its pages from this memory node. Before it is used.
  void place(int node) const;
  size_t size() const { return quantized.size() + hidden.size() + q_rows.size() + states.size(); }

 private:
  friend class Ops;
  friend class AttentionRun;
  Buffer quantized;  // Q8 panels of the input of matrix products
  Buffer hidden;     // Q8 panels of a feed-forward block's hidden rows
  Buffer q_rows;     // queries by kv head: [kv_heads][m * group][head_dim]
  Buffer states;     // running attention states: max, sum, out of every query row (and block)
  size_t states_bytes = 0;
};

class OutputHead;

// Is shown the input of every matrix product, before it is computed, on the caller's thread.
class MatmulObserver {
 public:
  virtual ~MatmulObserver() = default;
  virtual void see(const PackedMatrix& w, const Rows& x) = 0;
};

class Ops {
 public:
  // Up to this many tokens a product is taken as memory-bound and split statically.
  static constexpr size_t kFewTokens = 8;

  Ops(ThreadTeam& team, const KernelSet& kernels, OpsScratch& scratch)
      : team_(team), kernels_(kernels), scratch_(scratch) {}

  // x[t] = table[ids[t]] * scale.
  void embed(const RowTable& table, std::span<const int32_t> ids, float scale, Rows x);

  // y = RMSNorm(x) * weight (Zhang & Sennrich 2019); add: y += that.
  void rms_norm(Rows x, const std::vector<float>& weight, float eps, Rows y, bool add = false);

  // y += x.
  void add(Rows x, Rows y);
  // Every row of y += bias; an empty bias: nothing.
  void add_bias(const std::vector<float>& bias, Rows y);

  // y_i = w_i x for every product, in one region. y_i: [m][w_i.n].
  struct Product {
    const PackedMatrix* w;
    Rows y;
  };
  void matmul(Rows x, std::initializer_list<Product> products);

  // out = down (act(gate x) * (up x)). `gate` and `up` are scratch, [m][w.gate->n] each; what is in
  // them afterwards means nothing.
  struct FeedForward {
    const PackedMatrix* gate;
    const PackedMatrix* up;
    const PackedMatrix* down;
    Gate act;
  };
  void feed_forward(Rows x, const FeedForward& w, Rows gate, Rows up, Rows out);

  // out[t] = the head's logits of row x[t], those of the `top` largest exact (head.h), the rest
  // approximate and below them.
  void screened_head(const OutputHead& head, Rows x, size_t top, Rows out);
  // out[i] = the exact logit of row ids[i], as matmul() gives it; x: one hidden state.
  void exact_head(const OutputHead& head, const float* x, std::span<const int32_t> ids,
                  std::span<float> out);
  // Rows that the last screened_head() computed exactly.
  size_t exact_head_rows() const { return exact_head_rows_; }

  // Norms, rotates and stores k and v [m][kv_heads * head_dim], then out = attention(q) for
  // q [m][heads * head_dim], each row over its own segment's cache. q and k are changed. Online
  // softmax (Milakov & Gimelshein 2018).
  void attention(const AttentionArgs& args, std::span<const Segment> segments, Rows q, Rows k,
                 Rows v, Rows out);

  // Whether every value of x is finite.
  bool all_finite(Rows x);

  // x = cap * tanh(x / cap); cap 0: nothing.
  void softcap(Rows x, float cap);

  size_t threads() const { return static_cast<size_t>(team_.size()); }

  // From now on; null: none.
  void set_observer(MatmulObserver* observer) { observer_ = observer; }

 private:
  friend class AttentionRun;
  // Runs fn(t) for every row: on the caller when `cost` (floats touched) is small, else shared.
  template <typename F>
  void each_row(size_t m, size_t cost, F&& fn);
  // Makes one row of screened logits exact where it matters; returns how many that were.
  size_t refine_head(const OutputHead& head, const float* x, size_t top, std::span<float> logits);
  // What kernels multiply with: floats, and Q8 panels where a kernel takes those.
  struct Input {
    const void* floats;
    const void* q8;
    const void* of(const PackedMatrix& w) const {
      return w.kernel->activation == Activation::kQ8 ? q8 : floats;
    }
  };
  void multiply_all(Input x, std::initializer_list<Product> products);
  // y = act(y) * up, by the caller alone.
  void activate(Gate act, Rows y, Rows up);
  // x in Q8 panels, in scratch.
  const void* quantize(Rows x);

  ThreadTeam& team_;
  const KernelSet& kernels_;
  OpsScratch& scratch_;
  size_t exact_head_rows_ = 0;
  MatmulObserver* observer_ = nullptr;
};

// The same for a span, on the caller alone.
bool all_finite(std::span<const float> values);

template <typename F>
void Ops::each_row(size_t m, size_t cost, F&& fn) {
  // A region costs about a microsecond, in which one thread touches some thousand floats.
  constexpr size_t kWorthSharing = 16384;
  if (m == 1 || cost < kWorthSharing) {
    for (size_t t = 0; t < m; ++t) fn(t);
    return;
  }
  team_.run([&](int worker) {
    const Range rows = team_.range(m, 1, worker);
    for (size_t t = rows.begin; t < rows.end; ++t) fn(t);
  });
}

}  // namespace nibble
