// Gemma 3, text (Gemma Team 2025, arXiv:2503.19786): 270M, 1B, 4B, 12B, 27B.
//
// A decoder whose blocks are normed before and after; grouped-query attention with normed queries
// and keys; five layers of six see a sliding window and rotate at base 10,000, the sixth sees all
// and rotates at 1,000,000 (positions divided by 8 from 4B on). Norm weights in GGUF files already
// hold the paper's (1 + w). Hyperparameters: tools/docs/ARCHITECTURE.md. Read next: ops/ops.h.
#include <cmath>

#include "runtime/model/architecture.h"

namespace nibble {
namespace {

struct Layer {
  PackedMatrix q, k, v,
      o;  // [heads * head_dim][embd], [kv_heads * head_dim][embd] twice, [embd][...]
  PackedMatrix gate, up, down;                             // [ff][embd], [ff][embd], [embd][ff]
  std::vector<float> attention_norm, post_attention_norm;  // [embd]
  std::vector<float> feed_forward_norm, post_feed_forward_norm;  // [embd]
  std::vector<float> q_norm, k_norm;                             // [head_dim]
};

class Gemma3 final : public Network {
 public:
  Result<void> load(const GgufFile& file, WeightLoader& loader);

  void forward(Pass& pass) const override {
    Activations& a = pass.a;
    Ops& ops = pass.ops;
    fill_rope(rope_, pass.position, pass.ids.size(), &a.rope);
    fill_rope(rope_local_, pass.position, pass.ids.size(), &a.rope_local);

    ops.embed(embedding_, pass.ids, embedding_scale_, a.x);
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Layer& l = layers_[i];

      // x += norm(Wo attention(Wq h, Wk h, Wv h)),  h = norm(x)
      ops.rms_norm(a.x, l.attention_norm, eps_, a.h);
      ops.matmul(a.h, {{&l.q, a.q}, {&l.k, a.k}, {&l.v, a.v}});
      ops.attention(attention(pass, i), pass.cache, a.q, a.k, a.v, a.att);
      ops.matmul(a.att, {{&l.o, a.h}});
      ops.rms_norm(a.h, l.post_attention_norm, eps_, a.x, /*add=*/true);

      // x += norm(Wdown (gelu(Wgate h) * Wup h)),  h = norm(x)
      ops.rms_norm(a.x, l.feed_forward_norm, eps_, a.h);
      ops.gated(a.h, l.gate, l.up, Gate::kGelu, a.up, a.gate);
      ops.matmul(a.gate, {{&l.down, a.h}});
      ops.rms_norm(a.h, l.post_feed_forward_norm, eps_, a.x, /*add=*/true);
    }
  }

  void logits(Ops& ops, Rows x, Rows out, size_t top) const override {
    ops.rms_norm(x, output_norm_, eps_, x);
    apply_head(ops, x, out, top);
    ops.softcap(out, final_softcap_);
  }

  uint64_t layer_bytes() const override {
    uint64_t bytes = 0;
    for (const Layer& l : layers_) {
      for (const PackedMatrix* w : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) {
        bytes += w->bytes();
      }
    }
    return bytes;
  }

 private:
  AttentionArgs attention(const Pass& pass, size_t i) const {
    const Layer& l = layers_[i];
    AttentionArgs args;
    args.layer = i;
    args.position = pass.position;
    args.heads = shape_.heads;
    args.kv_heads = shape_.kv_heads;
    args.head_dim = shape_.head_dim;
    args.scale = attention_scale_;
    args.softcap = attention_softcap_;
    args.q_norm = l.q_norm.data();
    args.k_norm = l.k_norm.data();
    args.norm_eps = eps_;
    args.style = RopeStyle::kNeox;
    args.rope = shape_.windows[i] == 0 ? &pass.a.rope : &pass.a.rope_local;
    return args;
  }

  Result<void> read_hyperparameters(const HyperReader& read);
  Result<void> read_windows(const HyperReader& read);

  float eps_ = 1e-6f;
  float embedding_scale_ = 1;
  float attention_scale_ = 1;
  float attention_softcap_ = 0;
  float final_softcap_ = 0;
  RopeParameters rope_, rope_local_;
  RowTable embedding_;
  std::vector<float> output_norm_;
  std::vector<Layer> layers_;
};

Result<void> Gemma3::read_hyperparameters(const HyperReader& read) {
  NIBBLE_TRY(shape_, read.shape());
  NIBBLE_TRY_VOID(read_windows(read));
  NIBBLE_TRY(const double eps, read.real("attention.layer_norm_rms_epsilon", 0, 1));
  NIBBLE_TRY(const double attention_cap, read.real("attn_logit_softcapping", 0, 1e6, 0.0));
  NIBBLE_TRY(const double final_cap, read.real("final_logit_softcapping", 0, 1e6, 0.0));
  eps_ = static_cast<float>(eps);
  attention_softcap_ = static_cast<float>(attention_cap);
  final_softcap_ = static_cast<float>(final_cap);
  embedding_scale_ = std::sqrt(static_cast<float>(shape_.embedding));
  // Scores are divided by sqrt(head_dim), but in 27B (62 layers) by sqrt(embedding / heads).
  const size_t divisor = shape_.layers == 62 ? shape_.embedding / shape_.heads : shape_.head_dim;
  attention_scale_ = 1.0f / std::sqrt(static_cast<float>(divisor));

  rope_.n_rot = rope_local_.n_rot = shape_.head_dim;
  NIBBLE_TRY(rope_.base, read.real("rope.freq_base", 1, 1e12, 1e6));
  // Writers disagree on the name of the local base.
  for (const char* key : {"rope.freq_base_swa", "rope.local.freq_base", "rope.local_freq_base"}) {
    NIBBLE_TRY(rope_local_.base, read.real(key, 1, 1e12, rope_local_.base));
  }
  NIBBLE_TRY(const std::string scaling,
             read.file().get_string(read.name("rope.scaling.type"), "none"));
  if (scaling == "linear") {
    NIBBLE_TRY(const double factor, read.real("rope.scaling.factor", 1e-3, 1e6, 1.0));
    rope_.scale = 1 / factor;
  } else if (scaling != "none") {
    return Error{ErrorCode::kData, read.file().path() + ": " + read.name("rope.scaling.type") +
                                       " is \"" + scaling + "\"; known here: none, linear"};
  }
  return {};
}

// Which layers see a window: a period (an integer, every n-th layer is global), a flag per layer
// (true: window), or the family's own period of 6.
Result<void> Gemma3::read_windows(const HyperReader& read) {
  NIBBLE_TRY(const size_t window, read.size("attention.sliding_window", 0, 1ull << 31, 0));
  if (window == 0) return {};
  const std::string key = read.name("attention.sliding_window_pattern");
  const GgufValue* pattern = read.file().find(key);
  if (pattern != nullptr && pattern->type == GgufType::kArray) {
    NIBBLE_TRY(const GgufArray* flags, read.file().get_array(key));
    if (flags->type != GgufType::kBool || flags->size() != shape_.layers) {
      return Error{ErrorCode::kData, read.file().path() + ": " + key + " has " +
                                         std::to_string(flags->size()) + " entries, must be " +
                                         std::to_string(shape_.layers) + " booleans"};
    }
    for (size_t i = 0; i < shape_.layers; ++i) shape_.windows[i] = flags->uints[i] ? window : 0;
    return {};
  }
  NIBBLE_TRY(const size_t period, read.size("attention.sliding_window_pattern", 1, 1024, 6));
  for (size_t i = 0; i < shape_.layers; ++i) {
    if (i % period != period - 1) shape_.windows[i] = window;
  }
  return {};
}

Result<void> Gemma3::load(const GgufFile& file, WeightLoader& loader) {
  NIBBLE_TRY_VOID(read_hyperparameters(HyperReader(file, "gemma3")));
  const size_t embd = shape_.embedding;
  const size_t q_rows = shape_.heads * shape_.head_dim;
  const size_t kv_rows = shape_.kv_heads * shape_.head_dim;
  const size_t ff = shape_.feed_forward;
  layers_.resize(shape_.layers);
  for (size_t i = 0; i < shape_.layers; ++i) {
    Layer& l = layers_[i];
    auto name = [i](std::string_view part) { return layer_tensor(i, part); };
    NIBBLE_TRY_VOID(loader.vector(name("attn_norm"), embd, &l.attention_norm));
    NIBBLE_TRY_VOID(loader.matrix(name("attn_q"), q_rows, embd, &l.q));
    NIBBLE_TRY_VOID(loader.matrix(name("attn_k"), kv_rows, embd, &l.k));
    NIBBLE_TRY_VOID(loader.matrix(name("attn_v"), kv_rows, embd, &l.v));
    NIBBLE_TRY_VOID(loader.vector(name("attn_q_norm"), shape_.head_dim, &l.q_norm));
    NIBBLE_TRY_VOID(loader.vector(name("attn_k_norm"), shape_.head_dim, &l.k_norm));
    NIBBLE_TRY_VOID(loader.matrix(name("attn_output"), embd, q_rows, &l.o));
    NIBBLE_TRY_VOID(loader.vector(name("post_attention_norm"), embd, &l.post_attention_norm));
    NIBBLE_TRY_VOID(loader.vector(name("ffn_norm"), embd, &l.feed_forward_norm));
    NIBBLE_TRY_VOID(loader.matrix(name("ffn_gate"), ff, embd, &l.gate));
    NIBBLE_TRY_VOID(loader.matrix(name("ffn_up"), ff, embd, &l.up));
    NIBBLE_TRY_VOID(loader.matrix(name("ffn_down"), embd, ff, &l.down));
    NIBBLE_TRY_VOID(loader.vector(name("post_ffw_norm"), embd, &l.post_feed_forward_norm));
  }
  NIBBLE_TRY_VOID(loader.vector("output_norm.weight", embd, &output_norm_));
  return load_embedding_and_head(loader, shape_, &embedding_, &head_);
}

Result<std::unique_ptr<Network>> load(const GgufFile& file, WeightLoader& loader) {
  auto network = std::make_unique<Gemma3>();
  NIBBLE_TRY_VOID(network->load(file, loader));
  return Result<std::unique_ptr<Network>>(std::move(network));
}

}  // namespace

extern const Architecture k_architecture_gemma3;
const Architecture k_architecture_gemma3{"gemma3", load};

}  // namespace nibble
