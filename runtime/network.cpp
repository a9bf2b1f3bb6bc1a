#include "runtime/network.h"

#include <cstring>

#include "runtime/file/concat.h"

namespace nibble {

void Network::forward(Pass& pass) const {
  Activations& a = pass.a;
  Ops& ops = pass.ops;
  const int64_t context = pass.segments.front().cache->context();
  const bool is_long = h_.long_rope_context > 0 && context > h_.long_rope_context;
  fill_rope(is_long ? long_rope_ : h_.rope, pass.segments, &a.rope);
  fill_rope(h_.rope_local, pass.segments, &a.rope_local);

  // What a block adds to the residual stream, normed where the architecture does that.
  const auto add_to_stream = [&](const std::vector<float>& norm) {
    norm.empty() ? ops.add(a.h, a.x) : ops.rms_norm(a.h, norm, h_.eps, a.x, /*add=*/true);
  };
  const auto check = [&](int place) {
    if (pass.broken_at == Pass::kNowhere && !ops.all_finite(a.x)) pass.broken_at = place;
  };
  ops.embed(embedding_, pass.ids, h_.embedding_scale, a.x);
  check(Pass::kEmbedding);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& l = layers_[i];

    // x += norm(Wo attention(Wq h + bq, Wk h + bk, Wv h + bv)),  h = norm(x)
    ops.rms_norm(a.x, l.attention_norm, h_.eps, a.h);
    ops.matmul(a.h, {{&l.q, a.q}, {&l.k, a.k}, {&l.v, a.v}});
    ops.add_bias(l.q_bias, a.q);
    ops.add_bias(l.k_bias, a.k);
    ops.add_bias(l.v_bias, a.v);
    ops.attention(attention(a, i), pass.segments, a.q, a.k, a.v, a.att);
    if (i + 1 == layers_.size()) a.keep_wanted(pass.segments);
    if (a.x.m == 0) return;
    ops.matmul(a.att, {{&l.o, a.h}});
    add_to_stream(l.post_attention_norm);

    // x += norm(Wdown (act(Wgate h) * Wup h)),  h = norm(x)
    ops.rms_norm(a.x, l.feed_forward_norm, h_.eps, a.h);
    ops.feed_forward(a.h, {&l.gate, &l.up, &l.down, h_.gate}, a.gate, a.up, a.h);
    add_to_stream(l.post_feed_forward_norm);
    check(static_cast<int>(i));
  }
}

AttentionArgs Network::attention(const Activations& a, size_t layer) const {
  const Layer& l = layers_[layer];
  AttentionArgs args;
  args.layer = layer;
  args.heads = h_.shape.heads;
  args.kv_heads = h_.shape.kv_heads;
  args.head_dim = h_.shape.head_dim;
  args.scale = h_.attention_scale;
  args.softcap = h_.attention_softcap;
  args.temperature = h_.temperature;
  args.temperature_length = h_.temperature_length;
  args.q_norm = l.q_norm.empty() ? nullptr : l.q_norm.data();
  args.k_norm = l.k_norm.empty() ? nullptr : l.k_norm.data();
  args.norm_eps = h_.eps;
  args.style = h_.rope_style;
  const bool is_local = h_.rope_local.n_rot != 0 && h_.shape.windows[layer] != 0;
  args.rope = is_local ? &a.rope_local : &a.rope;
  if (!h_.no_rope.empty() && h_.no_rope[layer]) args.rope = nullptr;
  return args;
}

void Network::final_norm(Ops& ops, Rows x) const {
  ops.rms_norm(x, output_norm_, h_.eps, x);
}

void Network::logits(Ops& ops, Rows x, Rows out, size_t top) const {
  final_norm(ops, x);
  if (top > 0 && head_.has_screen()) {
    ops.screened_head(head_, x, top, out);
  } else {
    ops.matmul(x, {{&head_.exact, out}});
  }
  ops.softcap(out, h_.final_softcap);
}

void Network::exact_logits(Ops& ops, const float* x, std::span<const int32_t> ids,
                           std::span<float> out) const {
  ops.exact_head(head_, x, ids, out);
  ops.softcap({out.data(), 1, out.size(), out.size()}, h_.final_softcap);
}

void Network::each_matrix(const std::function<void(const PackedMatrix&)>& visit) const {
  for (const Layer& l : layers_) {
    for (const PackedMatrix* w : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) visit(*w);
  }
}

uint64_t Network::layer_bytes() const {
  uint64_t bytes = 0;
  each_matrix([&](const PackedMatrix& w) { bytes += w.bytes(); });
  return bytes;
}

uint64_t Network::int8_products() const {
  uint64_t count = 0;
  each_matrix([&](const PackedMatrix& w) {
    if (w.kernel->activation == Activation::kQ8) count += w.n * w.k;
  });
  return count;
}

Result<void> Network::load(const GgufFile& file, WeightLoader& loader) {
  NIBBLE_TRY(h_, read_hyperparameters(file));
  NIBBLE_TRY_VOID(load_rope(file, loader));
  const ModelShape& s = h_.shape;
  layers_.resize(s.layers);
  for (size_t i = 0; i < s.layers; ++i) NIBBLE_TRY_VOID(load_layer(i, loader, &layers_[i]));
  NIBBLE_TRY_VOID(loader.vector("output_norm.weight", s.embedding, &output_norm_));
  const std::string embedding = "token_embd.weight";
  NIBBLE_TRY_VOID(loader.table(embedding, s.vocabulary, s.embedding, &embedding_));
  const std::string head = loader.has("output.weight") ? "output.weight" : embedding;
  return loader.matrix(head, s.vocabulary, s.embedding, &head_.exact);
}

Result<void> Network::load_layer(size_t index, WeightLoader& loader, Layer* layer) const {
  Layer& l = *layer;
  const size_t embd = h_.shape.embedding;
  const size_t q_rows = h_.shape.heads * h_.shape.head_dim;
  const size_t kv_rows = h_.shape.kv_heads * h_.shape.head_dim;
  const size_t ff = h_.shape.feed_forward;
  const std::string block = concat("blk.", index, ".");
  const auto weight = [&](const char* name) { return block + name + ".weight"; };
  const auto bias = [&](const char* name) { return block + name + ".bias"; };

  NIBBLE_TRY_VOID(loader.vector(weight("attn_norm"), embd, &l.attention_norm));
  if (h_.fused_matrices) {
    NIBBLE_TRY_VOID(loader.stacked(weight("attn_qkv"), embd,
                                   {{q_rows, &l.q}, {kv_rows, &l.k}, {kv_rows, &l.v}}));
    NIBBLE_TRY_VOID(loader.stacked(weight("ffn_up"), embd, {{ff, &l.gate}, {ff, &l.up}}));
  } else {
    NIBBLE_TRY_VOID(loader.matrix(weight("attn_q"), q_rows, embd, &l.q));
    NIBBLE_TRY_VOID(loader.matrix(weight("attn_k"), kv_rows, embd, &l.k));
    NIBBLE_TRY_VOID(loader.matrix(weight("attn_v"), kv_rows, embd, &l.v));
    NIBBLE_TRY_VOID(loader.matrix(weight("ffn_gate"), ff, embd, &l.gate));
    NIBBLE_TRY_VOID(loader.matrix(weight("ffn_up"), ff, embd, &l.up));
  }
  NIBBLE_TRY_VOID(loader.matrix(weight("attn_output"), embd, q_rows, &l.o));
  NIBBLE_TRY_VOID(loader.vector(weight("ffn_norm"), embd, &l.feed_forward_norm));
  NIBBLE_TRY_VOID(loader.matrix(weight("ffn_down"), embd, ff, &l.down));
  if (h_.qkv_biases) {
    NIBBLE_TRY_VOID(loader.vector(bias("attn_q"), q_rows, &l.q_bias));
    NIBBLE_TRY_VOID(loader.vector(bias("attn_k"), kv_rows, &l.k_bias));
    NIBBLE_TRY_VOID(loader.vector(bias("attn_v"), kv_rows, &l.v_bias));
  }
  if (h_.qk_norms) {
    NIBBLE_TRY_VOID(loader.vector(weight("attn_q_norm"), h_.shape.head_dim, &l.q_norm));
    NIBBLE_TRY_VOID(loader.vector(weight("attn_k_norm"), h_.shape.head_dim, &l.k_norm));
  }
  if (h_.post_norms) {
    NIBBLE_TRY_VOID(loader.vector(weight("post_attention_norm"), embd, &l.post_attention_norm));
    NIBBLE_TRY_VOID(loader.vector(weight("post_ffw_norm"), embd, &l.post_feed_forward_norm));
  }
  return {};
}

// Divisors of the rotations' frequencies that a file brings as tensors.
Result<void> Network::load_rope(const GgufFile& file, WeightLoader& loader) {
  const auto divide = [&](const std::string& name, RopeParameters* rope) -> Result<void> {
    std::vector<float> divisors;
    NIBBLE_TRY_VOID(loader.vector(name, rope->n_rot / 2, &divisors));
    rope->divisors.resize(divisors.size(), 1);
    for (size_t i = 0; i < divisors.size(); ++i) {
      if (!(divisors[i] > 0)) {
        return Error{ErrorCode::kData, file.path() + ": tensor " + name +
                                           " has a divisor that is not positive; the file is "
                                           "damaged, download it again"};
      }
      rope->divisors[i] *= divisors[i];
    }
    return {};
  };
  if (loader.has("rope_freqs.weight")) NIBBLE_TRY_VOID(divide("rope_freqs.weight", &h_.rope));
  if (h_.long_rope_context == 0) return {};
  long_rope_ = h_.rope;
  NIBBLE_TRY_VOID(divide("rope_factors_short.weight", &h_.rope));
  return divide("rope_factors_long.weight", &long_rope_);
}

size_t Activations::bytes(const ModelShape& shape, size_t m) {
  const size_t per_row = 2 * shape.embedding + 2 * shape.heads * shape.head_dim +
                         2 * shape.kv_heads * shape.head_dim + 2 * shape.feed_forward;
  return per_row * m * sizeof(float);
}

void Activations::bind(const ModelShape& shape, size_t m, float* memory) {
  auto take = [&](size_t cols) {
    Rows rows{memory, m, cols, cols};
    memory += m * cols;
    return rows;
  };
  x = take(shape.embedding);
  h = take(shape.embedding);
  q = take(shape.heads * shape.head_dim);
  att = take(shape.heads * shape.head_dim);
  k = take(shape.kv_heads * shape.head_dim);
  v = take(shape.kv_heads * shape.head_dim);
  gate = take(shape.feed_forward);
  up = take(shape.feed_forward);
  for (RopeTable* table : {&rope, &rope_local}) {
    table->cos.reserve(m * shape.head_dim / 2);
    table->sin.reserve(m * shape.head_dim / 2);
  }
}

void Activations::resize(size_t m) {
  for (Rows* rows : {&x, &h, &q, &att, &k, &v, &gate, &up}) rows->m = m;
}

void Activations::keep_wanted(std::span<const Segment> segments) {
  size_t kept = 0;
  size_t seen = 0;
  for (const Segment& segment : segments) {
    seen += segment.m;
    for (const Rows& rows : {x, att}) {
      std::memmove(rows.row(kept), rows.row(seen - segment.wanted),
                   segment.wanted * rows.stride * sizeof(float));
    }
    kept += segment.wanted;
  }
  resize(kept);
}

}  // namespace nibble
