// The operations a model is written in, on the engine's team and kernels.
//
// Activations are float rows, [m][cols], of a session's scratch memory. Each function is one or two
// parallel regions (or none when the work is small) and returns when it is done. Rows of outputs
// are what threads share, never a sum, so results do not depend on the team's size.
// One thread at a time per Ops. Read next: model/gemma3.cpp (the user), matmul.cpp, attention.cpp.
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
  size_t n_rot = 0;
  std::vector<float> divisors;  // Llama 3.x rope_freqs; empty: ones
};
void fill_rope(const RopeParameters& parameters, int64_t position, size_t m, RopeTable* table);

// One layer's attention, all that its heads share.
struct AttentionArgs {
  size_t layer = 0;
  int64_t position = 0;  // of the first row
  size_t heads = 0;
  size_t kv_heads = 0;
  size_t head_dim = 0;
  float scale = 1;                // of the scores
  float softcap = 0;              // 0: none
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
  size_t size() const { return quantized.size() + q_rows.size() + states.size(); }

 private:
  friend class Ops;
  friend class AttentionRun;
  Buffer quantized;  // Q8 panels
  Buffer q_rows;     // queries by kv head: [kv_heads][m * group][head_dim]
  Buffer states;     // running attention states: max, sum, out of every query row (and block)
  size_t states_bytes = 0;
};

class OutputHead;

class Ops {
 public:
  Ops(ThreadTeam& team, const KernelSet& kernels, OpsScratch& scratch)
      : team_(team), kernels_(kernels), scratch_(scratch) {}

  // x[t] = table[ids[t]] * scale.
  void embed(const RowTable& table, std::span<const int32_t> ids, float scale, Rows x);

  // y = RMSNorm(x) * weight (Zhang & Sennrich 2019); add: y += that.
  void rms_norm(Rows x, const std::vector<float>& weight, float eps, Rows y, bool add = false);

  // y += x.
  void add(Rows x, Rows y);

  // y_i = w_i x for every product, in one region. y_i: [m][w_i.n].
  struct Product {
    const PackedMatrix* w;
    Rows y;
  };
  void matmul(Rows x, std::initializer_list<Product> products);

  // y = act(gate x) * (up x). `up_rows` is scratch of y's shape.
  void gated(Rows x, const PackedMatrix& gate, const PackedMatrix& up, Gate act, Rows up_rows,
             Rows y);

  // out[t] = the head's logits of row x[t], those of the `top` largest exact (head.h), the rest
  // approximate and below them.
  void screened_head(const OutputHead& head, Rows x, size_t top, Rows out);
  // Rows that the last screened_head() computed exactly.
  size_t exact_head_rows() const { return exact_head_rows_; }

  // Norms, rotates and stores k and v [m][kv_heads * head_dim], then out = attention(q) for
  // q [m][heads * head_dim]. q and k are changed. Online softmax (Milakov & Gimelshein 2018).
  void attention(const AttentionArgs& args, KvCache& cache, Rows q, Rows k, Rows v, Rows out);

  // x = cap * tanh(x / cap); cap 0: nothing.
  void softcap(Rows x, float cap);

  size_t threads() const { return static_cast<size_t>(team_.size()); }

 private:
  friend class AttentionRun;
  // Runs fn(t) for every row: on the caller when `cost` (floats touched) is small, else shared.
  template <typename F>
  void each_row(size_t m, size_t cost, F&& fn);
  // Makes one row of screened logits exact where it matters; returns how many that were.
  size_t refine_head(const OutputHead& head, const float* x, size_t top, std::span<float> logits);
  // The activations in the form that the products' kernels take; quantises into scratch if needed.
  const void* quantize(Rows x);

  ThreadTeam& team_;
  const KernelSet& kernels_;
  OpsScratch& scratch_;
  size_t exact_head_rows_ = 0;
};

template <typename F>
void Ops::each_row(size_t m, size_t cost, F&& fn) {
  // A region costs about a microsecond, in which one thread touches some thousand floats.
  constexpr size_t kWorthSharing = 16384;
  if (m == 1 || cost < kWorthSharing) {
    for (size_t t = 0; t < m; ++t) fn(t);
    return;
  }
  team_.run([&](int worker) {
    const Range rows = split_range(m, 1, worker, team_.size());
    for (size_t t = rows.begin; t < rows.end; ++t) fn(t);
  });
}

}  // namespace nibble
