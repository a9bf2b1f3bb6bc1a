#include "tools/nibble/convert/hf_tensors.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>

#include "runtime/file/concat.h"

namespace nibble::cli {
namespace {

enum Families : unsigned { kGemma = 1, kLlama = 2, kQwen2 = 4, kQwen3 = 8, kAll = 15 };
enum class Size { kNone, kEmbedding, kFeedForward, kHeadDim, kQuery, kKeyValue };

// A tensor of every layer. `columns` is the row length; vectors have no rows.
struct Part {
  std::string_view from, to;
  unsigned families;
  Size rows, columns;
};
constexpr Part kParts[] = {
    {"input_layernorm.weight", "attn_norm.weight", kAll, Size::kNone, Size::kEmbedding},
    {"self_attn.q_proj.weight", "attn_q.weight", kAll, Size::kQuery, Size::kEmbedding},
    {"self_attn.q_proj.bias", "attn_q.bias", kQwen2, Size::kNone, Size::kQuery},
    {"self_attn.k_proj.weight", "attn_k.weight", kAll, Size::kKeyValue, Size::kEmbedding},
    {"self_attn.k_proj.bias", "attn_k.bias", kQwen2, Size::kNone, Size::kKeyValue},
    {"self_attn.v_proj.weight", "attn_v.weight", kAll, Size::kKeyValue, Size::kEmbedding},
    {"self_attn.v_proj.bias", "attn_v.bias", kQwen2, Size::kNone, Size::kKeyValue},
    {"self_attn.q_norm.weight", "attn_q_norm.weight", kGemma | kQwen3, Size::kNone, Size::kHeadDim},
    {"self_attn.k_norm.weight", "attn_k_norm.weight", kGemma | kQwen3, Size::kNone, Size::kHeadDim},
    {"self_attn.o_proj.weight", "attn_output.weight", kAll, Size::kEmbedding, Size::kQuery},
    {"post_attention_layernorm.weight", "post_attention_norm.weight", kGemma, Size::kNone,
     Size::kEmbedding},
    {"post_attention_layernorm.weight", "ffn_norm.weight", kAll & ~kGemma, Size::kNone,
     Size::kEmbedding},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight", kGemma, Size::kNone, Size::kEmbedding},
    {"mlp.gate_proj.weight", "ffn_gate.weight", kAll, Size::kFeedForward, Size::kEmbedding},
    {"mlp.up_proj.weight", "ffn_up.weight", kAll, Size::kFeedForward, Size::kEmbedding},
    {"mlp.down_proj.weight", "ffn_down.weight", kAll, Size::kEmbedding, Size::kFeedForward},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight", kGemma, Size::kNone,
     Size::kEmbedding},
};

unsigned bit_of(Family family) {
  switch (family) {
    case Family::kGemma3:
      return kGemma;
    case Family::kLlama:
      return kLlama;
    case Family::kQwen2:
      return kQwen2;
    case Family::kQwen3:
      return kQwen3;
  }
  return 0;
}

struct FloatType {
  std::string_view dtype;
  uint32_t id;
};
constexpr FloatType kFloatTypes[] = {{"F32", 0}, {"F16", 1}, {"BF16", 30}};

// Where the text model is in models of several parts, and the parts that see.
constexpr std::array<std::string_view, 4> kPrefixes = {"model.", "language_model.model.",
                                                       "model.language_model.", ""};
constexpr std::array<std::string_view, 3> kHeads = {
    "lm_head.weight", "language_model.lm_head.weight", "model.lm_head.weight"};
constexpr std::array<std::string_view, 4> kVision = {"vision_tower.", "multi_modal_projector.",
                                                     "model.vision_tower.",
                                                     "model.multi_modal_projector."};

class Converter {
 public:
  Converter(const Checkpoint& checkpoint, const HfConfig& config)
      : checkpoint_(checkpoint), config_(config) {}

  Result<ConvertedTensors> convert() {
    NIBBLE_TRY_VOID(find_text());
    NIBBLE_TRY_VOID(add(concat(prefix_, "norm.weight"), "output_norm.weight", {config_.embedding}));
    NIBBLE_TRY_VOID(add_head());
    add_rope_divisors();
    for (uint64_t layer = 0; layer < config_.layers; ++layer) {
      for (const Part& part : kParts) {
        if ((part.families & bit_of(config_.family)) == 0) continue;
        std::vector<uint64_t> shape = {size(part.columns)};
        if (part.rows != Size::kNone) shape.insert(shape.begin(), size(part.rows));
        NIBBLE_TRY_VOID(add(concat(prefix_, "layers.", layer, ".", part.from),
                            concat("blk.", layer, ".", part.to), shape));
      }
    }
    NIBBLE_TRY_VOID(account_for_the_rest());
    return std::move(out_);
  }

 private:
  uint64_t size(Size which) const {
    switch (which) {
      case Size::kNone:
        return 0;
      case Size::kEmbedding:
        return config_.embedding;
      case Size::kFeedForward:
        return config_.feed_forward;
      case Size::kHeadDim:
        return config_.head_dim;
      case Size::kQuery:
        return config_.heads * config_.head_dim;
      case Size::kKeyValue:
        return config_.kv_heads * config_.head_dim;
    }
    return 0;
  }

  Error bad(std::string_view name, std::string_view what) const {
    return {ErrorCode::kData,
            concat(checkpoint_.folder, ": tensor ", nibble::quoted(name), ": ", what)};
  }

  Result<void> find_text() {
    for (const std::string_view prefix : kPrefixes) {
      const auto at = checkpoint_.tensors.find(concat(prefix, "embed_tokens.weight"));
      if (at == checkpoint_.tensors.end()) continue;
      prefix_ = prefix;
      const std::vector<uint64_t>& shape = at->second.tensor.shape;
      if (shape.size() == 2) out_.vocabulary = shape[0];
      return add(at->first, "token_embd.weight", {out_.vocabulary, config_.embedding});
    }
    return bad("model.embed_tokens.weight", "is missing; the weights are not of a language model");
  }

  Result<void> add_head() {
    const auto* name = std::find_if(kHeads.begin(), kHeads.end(), [&](std::string_view head) {
      return checkpoint_.tensors.contains(std::string(head));
    });
    const bool found = name != kHeads.end();
    if (config_.tied.value_or(!found)) {
      if (found) {
        used_.insert(std::string(*name));
        out_.notes.push_back(concat(*name,
                                    " is left out: the configuration says that it is the "
                                    "embedding (tie_word_embeddings)"));
      }
      return {};
    }
    return add(std::string(found ? *name : kHeads[0]), "output.weight",
               {out_.vocabulary, config_.embedding});
  }

  void add_rope_divisors() {
    const std::vector<float>& values = config_.rope_divisors;
    if (values.empty()) return;
    GgufTensor tensor;
    tensor.name = "rope_freqs.weight";
    tensor.dims = {values.size()};
    tensor.bytes = values.size() * sizeof(float);
    tensor.data = reinterpret_cast<const uint8_t*>(values.data());
    out_.tensors.push_back(std::move(tensor));
  }

  Result<void> add(const std::string& from, const std::string& to,
                   const std::vector<uint64_t>& shape) {
    const auto at = checkpoint_.tensors.find(from);
    if (at == checkpoint_.tensors.end()) {
      return bad(from, concat("is missing, expected with shape ", shape_text(shape),
                              "; download the whole model again"));
    }
    const SafetensorsTensor& source = at->second.tensor;
    if (source.shape != shape || source.bytes == 0) {
      return bad(from, concat("has shape ", shape_text(source.shape), ", expected ",
                              shape_text(shape), " by config.json"));
    }
    const auto* type =
        std::find_if(std::begin(kFloatTypes), std::end(kFloatTypes),
                     [&](const FloatType& row) { return row.dtype == source.dtype; });
    if (type == std::end(kFloatTypes)) {
      return bad(from, concat("has type ", source.dtype,
                              "; nibble converts F32, F16 and BF16: download the original model"));
    }
    used_.insert(from);
    GgufTensor tensor;
    tensor.name = to;
    tensor.type_id = type->id;
    tensor.dims.assign(shape.rbegin(), shape.rend());
    tensor.offset = source.offset;
    tensor.bytes = source.bytes;
    tensor.shard = at->second.shard;
    tensor.data = source.data;
    add_change(to);
    out_.tensors.push_back(std::move(tensor));
    return {};
  }

  void add_change(const std::string& name) {
    // Llama's rotations pair neighbours in GGUF files, the halves of a head before.
    if (config_.family == Family::kLlama &&
        (name.ends_with("attn_q.weight") || name.ends_with("attn_k.weight"))) {
      out_.changes[name].paired_rows = config_.head_dim;
    }
    // Gemma multiplies by 1 + w; GGUF files hold the sum.
    if (config_.family == Family::kGemma3 && name.ends_with("norm.weight")) {
      out_.changes[name].added = 1;
    }
  }

  // A tensor that nobody asked for would be missing in the computation.
  Result<void> account_for_the_rest() {
    size_t vision = 0;
    for (const auto& [name, entry] : checkpoint_.tensors) {
      if (used_.contains(name)) continue;
      const auto starts = [&, &text = name](std::string_view part) {
        return text.starts_with(part);
      };
      if (std::any_of(kVision.begin(), kVision.end(), starts)) {
        ++vision;
      } else if (!name.ends_with("rotary_emb.inv_freq")) {  // computed from the configuration
        return bad(name, concat("is no part of a ", config_.architecture, " model with ",
                                config_.layers, " layers; is config.json of another model?"));
      }
    }
    if (vision > 0) {
      out_.notes.push_back(concat(vision,
                                  " tensors of the part that sees images are left out: the "
                                  "file is for text alone"));
    }
    return {};
  }

  const Checkpoint& checkpoint_;
  const HfConfig& config_;
  std::string prefix_;
  std::set<std::string> used_;
  ConvertedTensors out_;
};

}  // namespace

Result<ConvertedTensors> convert_tensors(const Checkpoint& checkpoint, const HfConfig& config) {
  return Converter(checkpoint, config).convert();
}

}  // namespace nibble::cli
