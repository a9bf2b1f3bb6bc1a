#include "runtime/model/architecture.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/file/concat.h"

namespace nibble {
namespace {

// Keys that change what is computed, each with the value that changes nothing. Some architectures
// read some of them; a file that sets another one would be answered wrongly.
struct NeutralKey {
  std::string_view key;
  double neutral;
};
constexpr NeutralKey kNeutralKeys[] = {
    {"attention.causal", 1},
    {"attention.clamp_kqv", 0},
    {"attention.max_alibi_bias", 0},
    {"attention.output_scale", 0},
    {"attention.scale", 0},
    {"attention.shared_kv_layers", 0},
    {"attention.sliding_window", 0},
    {"attention.temperature_scale", 0},
    {"attn_logit_softcapping", 0},
    {"embedding_length_per_layer_input", 0},
    {"embedding_scale", 1},
    {"expert_count", 0},
    {"final_logit_softcapping", 0},
    {"logit_scale", 1},
    {"nextn_predict_layers", 0},
    {"residual_scale", 1},
    {"rope.dimension_sections", 0},
    {"rope.scaling.alpha", 0},
    {"rope.scaling.yarn_ext_factor", 1},
    {"rope.scaling.yarn_log_multiplier", 0},
    {"use_parallel_residual", 0},
};

// NaN for what is no number.
double as_number(const GgufValue& value) {
  if (const auto* number = std::get_if<uint64_t>(&value.data)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<int64_t>(&value.data)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<double>(&value.data)) return *number;
  if (const auto* flag = std::get_if<bool>(&value.data)) return *flag ? 1 : 0;
  return std::nan("");
}

Error data_error(const HyperReader& read, std::string_view text) {
  return {ErrorCode::kData, concat(read.file().path(), ": ", text)};
}

}  // namespace

#define NIBBLE_ARCHITECTURE(name) extern const Architecture k_architecture_##name;
#include "architectures.inc"
#undef NIBBLE_ARCHITECTURE

std::span<const Architecture* const> architectures() {
  static constexpr const Architecture* kAll[] = {
#define NIBBLE_ARCHITECTURE(name) &k_architecture_##name,
#include "architectures.inc"
#undef NIBBLE_ARCHITECTURE
  };
  return kAll;
}

Result<Hyperparameters> read_hyperparameters(const GgufFile& file) {
  NIBBLE_TRY(const std::string name, file.get_string("general.architecture"));
  std::string known;
  for (const Architecture* architecture : architectures()) {
    if (architecture->name == name) {
      const HyperReader read(file, name);
      NIBBLE_TRY(Hyperparameters h, architecture->read(read));
      NIBBLE_TRY_VOID(read.refuse_unread());
      return h;
    }
    known += concat(known.empty() ? "" : ", ", architecture->name);
  }
  return Error{ErrorCode::kData, concat(file.path(), ": architecture \"", name,
                                        "\" is not supported; this version knows ", known)};
}

Result<size_t> HyperReader::size(std::string_view key, uint64_t low, uint64_t high,
                                 std::optional<uint64_t> fallback) const {
  read_.push_back(name(key));
  NIBBLE_TRY(const uint64_t value, file_.get_uint(name(key), fallback));
  if (value < low || value > high) {
    return data_error(*this, concat(name(key), " is ", value, ", must be ", low, " to ", high));
  }
  return static_cast<size_t>(value);
}

Result<double> HyperReader::real(std::string_view key, double low, double high,
                                 std::optional<double> fallback) const {
  read_.push_back(name(key));
  NIBBLE_TRY(const double value, file_.get_float(name(key), fallback));
  if (!std::isfinite(value) || value < low || value > high) {
    return data_error(*this, name(key) + " is " + std::to_string(value) + ", must be " +
                                 std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

Result<void> HyperReader::refuse_unread() const {
  for (const NeutralKey& known : kNeutralKeys) {
    const std::string key = name(known.key);
    const GgufValue* value = file_.find(key);
    if (value == nullptr || std::find(read_.begin(), read_.end(), key) != read_.end()) continue;
    if (const double number = as_number(*value); number != known.neutral) {
      return data_error(
          *this, concat(key, " is ", std::isnan(number) ? "not a number" : std::to_string(number),
                        ", which is not supported here; use another model"));
    }
  }
  return {};
}

Result<Hyperparameters> HyperReader::common(double rope_base) const {
  Hyperparameters h;
  NIBBLE_TRY(h.shape, shape());
  NIBBLE_TRY(const double eps, real("attention.layer_norm_rms_epsilon", 0, 1));
  h.eps = static_cast<float>(eps);
  NIBBLE_TRY(const double scale, real("attention.scale", 0, 1e6, 0.0));
  h.attention_scale = scale != 0 ? static_cast<float>(scale)
                                 : 1.0f / std::sqrt(static_cast<float>(h.shape.head_dim));
  NIBBLE_TRY_VOID(rope(rope_base, &h));
  return h;
}

Result<ModelShape> HyperReader::shape() const {
  ModelShape s;
  // The upper limits are far above any model that fits a machine, and keep products in 64 bits.
  NIBBLE_TRY(s.layers, size("block_count", 1, 1024));
  NIBBLE_TRY(s.embedding, size("embedding_length", 1, 1 << 20));
  NIBBLE_TRY(s.feed_forward, size("feed_forward_length", 1, 1 << 22));
  NIBBLE_TRY(s.heads, size("attention.head_count", 1, 1024));
  NIBBLE_TRY(s.kv_heads, size("attention.head_count_kv", 1, 1024, s.heads));
  if (s.heads % s.kv_heads != 0) {
    return data_error(*this, concat(name("attention.head_count_kv"), " is ", s.kv_heads,
                                    ", which does not divide the ", s.heads, " heads of ",
                                    name("attention.head_count")));
  }
  if (!has("attention.key_length") && s.embedding % s.heads != 0) {
    return data_error(
        *this, concat(name("attention.head_count"), " is ", s.heads, ", which does not divide ",
                      name("embedding_length"), " ", s.embedding));
  }
  NIBBLE_TRY(s.head_dim, size("attention.key_length", 2, 1024, s.embedding / s.heads));
  NIBBLE_TRY(const size_t value_length, size("attention.value_length", 2, 1024, s.head_dim));
  if (value_length != s.head_dim || s.head_dim % 2 != 0) {
    return data_error(*this, concat(name("attention.key_length"), " ", s.head_dim, " and ",
                                    name("attention.value_length"), " ", value_length,
                                    " must be equal and even"));
  }
  NIBBLE_TRY(const size_t context, size("context_length", 1, 1ull << 31));
  s.context = static_cast<int64_t>(context);
  const GgufTensor* embedding = file_.tensor("token_embd.weight");
  if (embedding == nullptr || embedding->dims.size() != 2) {
    return data_error(*this, concat("tensor token_embd.weight [", s.embedding,
                                    ", vocabulary] is missing; a vocabulary-only or split file "
                                    "cannot answer"));
  }
  s.vocabulary = embedding->dims[1];
  s.windows.assign(s.layers, 0);
  return s;
}

Result<void> HyperReader::windows(size_t window, size_t period, ModelShape* shape) const {
  NIBBLE_TRY(window, size("attention.sliding_window", 0, 1ull << 31, window));
  if (window == 0) return {};
  const std::string key = name("attention.sliding_window_pattern");
  const GgufValue* pattern = file_.find(key);
  if (pattern != nullptr && pattern->type == GgufType::kArray) {
    NIBBLE_TRY(const GgufArray* flags, file_.get_array(key));
    if (flags->type != GgufType::kBool || flags->size() != shape->layers) {
      return data_error(*this, concat(key, " has ", flags->size(), " entries, must be ",
                                      shape->layers, " booleans"));
    }
    for (size_t i = 0; i < shape->layers; ++i) shape->windows[i] = flags->uints[i] ? window : 0;
    return {};
  }
  NIBBLE_TRY(period, size("attention.sliding_window_pattern", 0, 1024, period));
  for (size_t i = 0; i < shape->layers; ++i) {
    if (period == 0 || i % period != period - 1) shape->windows[i] = window;
  }
  return {};
}

Result<void> HyperReader::rope(double base, Hyperparameters* h) const {
  RopeParameters& rope = h->rope;
  NIBBLE_TRY(rope.n_rot, size("rope.dimension_count", 2, h->shape.head_dim, h->shape.head_dim));
  if (rope.n_rot % 2 != 0) {
    return data_error(*this,
                      concat(name("rope.dimension_count"), " is ", rope.n_rot, ", must be even"));
  }
  NIBBLE_TRY(rope.base, real("rope.freq_base", 2, 1e12, base));
  NIBBLE_TRY(const std::string kind, file_.get_string(name("rope.scaling.type"), "linear"));
  NIBBLE_TRY(const double factor, real("rope.scaling.factor", 0, 1e6, 0.0));
  NIBBLE_TRY(const size_t trained, size("rope.scaling.original_context_length", 1, 1ull << 31,
                                        static_cast<uint64_t>(h->shape.context)));
  NIBBLE_TRY(rope.magnitude, real("rope.scaling.attn_factor", 0, 1e3, 1.0));
  const bool is_long = file_.tensor("rope_factors_long.weight") != nullptr ||
                       file_.tensor("rope_factors_short.weight") != nullptr;
  if (is_long) h->long_rope_context = static_cast<int64_t>(trained);
  if (kind == "yarn") return yarn(factor, static_cast<double>(trained), &rope);
  // Converters of Llama 3.x and Phi 3 leave the kind out, or name it: tensors hold the divisors.
  const bool has_divisors = file_.tensor("rope_freqs.weight") != nullptr || is_long;
  if (kind == "linear") {
    if (factor != 0) rope.scale = 1 / factor;
  } else if (kind != "none" && !has_divisors) {
    return data_error(*this, concat(name("rope.scaling.type"), " is ", quoted(kind),
                                    " without tensor rope_freqs.weight or "
                                    "rope_factors_long.weight; known here: none, linear, yarn, "
                                    "and those with tensors"));
  }
  return {};
}

// YaRN (Peng et al. 2023, arXiv:2309.00071): rotations that turn more than beta_fast times in the
// context of the pre-training stay, those that turn less than beta_slow times are slowed down by
// `factor`, those between are blended; and the attention gets sharper.
Result<void> HyperReader::yarn(double factor, double trained_context, RopeParameters* rope) const {
  if (factor == 0) {
    return data_error(*this, concat(name("rope.scaling.type"), " is yarn, but ",
                                    name("rope.scaling.factor"), " is missing or 0"));
  }
  NIBBLE_TRY(const double fast, real("rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32.0));
  NIBBLE_TRY(const double slow, real("rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1.0));
  NIBBLE_TRY(const double log_multiplier, real("rope.scaling.yarn_log_multiplier", 0, 1e3, 0.0));
  const auto n_rot = static_cast<double>(rope->n_rot);
  const auto dimension_of = [&](double turns) {
    return n_rot * std::log(trained_context / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope->base));
  };
  const double low = std::max(0.0, std::floor(dimension_of(fast)));
  const double high = std::min(n_rot - 1, std::ceil(dimension_of(slow)));
  for (size_t i = 0; i < rope->n_rot / 2; ++i) {
    const double slowed =
        std::clamp((static_cast<double>(i) - low) / std::max(1e-3, high - low), 0.0, 1.0);
    rope->divisors.push_back(1 / (1 - slowed + slowed / factor));
  }
  const auto sharpness = [&](double multiplier) {
    return 1 + 0.1 * multiplier * std::log(std::max(1.0, factor));
  };
  NIBBLE_TRY(const double magnitude, real("rope.scaling.yarn_attn_factor", 0, 1e3,
                                          sharpness(1) / sharpness(log_multiplier)));
  rope->magnitude *= magnitude;
  return {};
}

}  // namespace nibble
