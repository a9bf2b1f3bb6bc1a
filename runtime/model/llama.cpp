// Llama (Touvron et al. 2023, Dubey et al. 2024): Llama 2 and 3.x, SmolLM2, TinyLlama, Mistral 7B.
//
// A pre-norm decoder with grouped-query attention and SwiGLU. Converters permute the rows of Wq and
// Wk so that rotations pair neighbours (2i, 2i + 1). Llama 3.x files bring rope_freqs: one divisor
// per rotation. Read next: ops/ops.h.
#include <cmath>

#include "runtime/model/architecture.h"

namespace nibble {
namespace {

struct Layer {
  PackedMatrix q, k, v,
      o;  // [heads * head_dim][embd], [kv_heads * head_dim][embd] twice, [embd][...]
  PackedMatrix gate, up, down;                           // [ff][embd], [ff][embd], [embd][ff]
  std::vector<float> attention_norm, feed_forward_norm;  // [embd]
};

class Llama final : public Network {
 public:
  Result<void> load(const GgufFile& file, WeightLoader& loader);

  void forward(Pass& pass) const override {
    Activations& a = pass.a;
    Ops& ops = pass.ops;
    fill_rope(rope_, pass.position, pass.ids.size(), &a.rope);

    ops.embed(embedding_, pass.ids, 1.0f, a.x);
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Layer& l = layers_[i];

      // x += Wo attention(Wq h, Wk h, Wv h),  h = norm(x)
      ops.rms_norm(a.x, l.attention_norm, eps_, a.h);
      ops.matmul(a.h, {{&l.q, a.q}, {&l.k, a.k}, {&l.v, a.v}});
      ops.attention(attention(pass, i), pass.cache, a.q, a.k, a.v, a.att);
      ops.matmul(a.att, {{&l.o, a.h}});
      ops.add(a.h, a.x);

      // x += Wdown (silu(Wgate h) * Wup h),  h = norm(x)
      ops.rms_norm(a.x, l.feed_forward_norm, eps_, a.h);
      ops.gated(a.h, l.gate, l.up, Gate::kSilu, a.up, a.gate);
      ops.matmul(a.gate, {{&l.down, a.h}});
      ops.add(a.h, a.x);
    }
  }

  void logits(Ops& ops, Rows x, Rows out, size_t top) const override {
    ops.rms_norm(x, output_norm_, eps_, x);
    apply_head(ops, x, out, top);
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
    AttentionArgs args;
    args.layer = i;
    args.position = pass.position;
    args.heads = shape_.heads;
    args.kv_heads = shape_.kv_heads;
    args.head_dim = shape_.head_dim;
    args.scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
    args.style = RopeStyle::kNorm;
    args.rope = &pass.a.rope;
    return args;
  }

  Result<void> read_rope(const HyperReader& read, WeightLoader& loader);

  float eps_ = 1e-5f;
  RopeParameters rope_;
  RowTable embedding_;
  std::vector<float> output_norm_;
  std::vector<Layer> layers_;
};

Result<void> Llama::read_rope(const HyperReader& read, WeightLoader& loader) {
  NIBBLE_TRY(rope_.n_rot, read.size("rope.dimension_count", 2, shape_.head_dim, shape_.head_dim));
  if (rope_.n_rot % 2 != 0) {
    return Error{ErrorCode::kData, read.file().path() + ": " + read.name("rope.dimension_count") +
                                       " is " + std::to_string(rope_.n_rot) + ", must be even"};
  }
  NIBBLE_TRY(rope_.base, read.real("rope.freq_base", 1, 1e12, 10000.0));
  NIBBLE_TRY(const std::string scaling,
             read.file().get_string(read.name("rope.scaling.type"), "none"));
  if (scaling == "linear") {
    NIBBLE_TRY(const double factor, read.real("rope.scaling.factor", 1e-3, 1e6, 1.0));
    rope_.scale = 1 / factor;
  } else if (scaling != "none" && !loader.has("rope_freqs.weight")) {
    return Error{ErrorCode::kData, read.file().path() + ": " + read.name("rope.scaling.type") +
                                       " is \"" + scaling +
                                       "\" without tensor rope_freqs.weight; known here: none, "
                                       "linear, and rope_freqs"};
  }
  NIBBLE_TRY_VOID(loader.optional_vector("rope_freqs.weight", rope_.n_rot / 2, &rope_.divisors));
  for (const float divisor : rope_.divisors) {
    if (!(divisor > 0)) {
      return Error{ErrorCode::kData, read.file().path() +
                                         ": tensor rope_freqs.weight has a divisor that is not "
                                         "positive; the file is damaged, download it again"};
    }
  }
  return {};
}

Result<void> Llama::load(const GgufFile& file, WeightLoader& loader) {
  const HyperReader read(file, "llama");
  NIBBLE_TRY(shape_, read.shape());
  NIBBLE_TRY(const size_t experts, read.size("expert_count", 0, 1 << 16, 0));
  if (experts != 0) {
    return Error{ErrorCode::kData, file.path() + ": llama.expert_count is " +
                                       std::to_string(experts) +
                                       "; mixture-of-experts models are not supported"};
  }
  NIBBLE_TRY(const double eps, read.real("attention.layer_norm_rms_epsilon", 0, 1));
  eps_ = static_cast<float>(eps);
  NIBBLE_TRY_VOID(read_rope(read, loader));

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
    NIBBLE_TRY_VOID(loader.matrix(name("attn_output"), embd, q_rows, &l.o));
    NIBBLE_TRY_VOID(loader.vector(name("ffn_norm"), embd, &l.feed_forward_norm));
    NIBBLE_TRY_VOID(loader.matrix(name("ffn_gate"), ff, embd, &l.gate));
    NIBBLE_TRY_VOID(loader.matrix(name("ffn_up"), ff, embd, &l.up));
    NIBBLE_TRY_VOID(loader.matrix(name("ffn_down"), embd, ff, &l.down));
  }
  NIBBLE_TRY_VOID(loader.vector("output_norm.weight", embd, &output_norm_));
  return load_embedding_and_head(loader, shape_, &embedding_, &head_);
}

Result<std::unique_ptr<Network>> load(const GgufFile& file, WeightLoader& loader) {
  auto network = std::make_unique<Llama>();
  NIBBLE_TRY_VOID(network->load(file, loader));
  return Result<std::unique_ptr<Network>>(std::move(network));
}

}  // namespace

extern const Architecture k_architecture_llama;
const Architecture k_architecture_llama{"llama", load};

}  // namespace nibble
