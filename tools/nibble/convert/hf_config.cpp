#include "tools/nibble/convert/hf_config.h"

#include <algorithm>

#include "runtime/file/concat.h"
#include "tools/nibble/rope_divisors.h"

namespace nibble::cli {
namespace {

struct KnownModel {
  std::string_view hf_class;  // of config.json's "architectures"
  std::string_view type;      // its "model_type"
  Family family;
  std::string_view architecture;
};
constexpr KnownModel kModels[] = {
    {"Gemma3ForCausalLM", "gemma3_text", Family::kGemma3, "gemma3"},
    {"Gemma3ForConditionalGeneration", "gemma3", Family::kGemma3, "gemma3"},
    {"LlamaForCausalLM", "llama", Family::kLlama, "llama"},
    {"MistralForCausalLM", "mistral", Family::kLlama, "llama"},
    {"Qwen2ForCausalLM", "qwen2", Family::kQwen2, "qwen2"},
    {"Qwen3ForCausalLM", "qwen3", Family::kQwen3, "qwen3"},
};

// What transformers takes where a configuration is silent, which Gemma's 4B and larger ones are.
struct Defaults {
  std::optional<uint64_t> heads, kv_heads, head_dim, context;
  double eps, rope_base;
  const char* activation;
};
Defaults defaults_of(Family family) {
  switch (family) {
    case Family::kGemma3:
      return {8, 4, 256, 131072, 1e-6, 1e6, "gelu_pytorch_tanh"};
    case Family::kLlama:
      return {{}, {}, {}, 2048, 1e-6, 1e4, "silu"};
    case Family::kQwen2:
      return {{}, {}, {}, 32768, 1e-6, 1e4, "silu"};
    case Family::kQwen3:
      return {{}, {}, 128, 32768, 1e-6, 1e4, "silu"};
  }
  return {};
}

Result<const KnownModel*> find_model(const JsonObject& config) {
  std::string name, classes;
  NIBBLE_TRY(const Json* architectures, config.array("architectures"));
  if (architectures != nullptr && !architectures->empty() && (*architectures)[0].is_string()) {
    name = (*architectures)[0].get<std::string>();
  }
  NIBBLE_TRY(const std::string type, config.text("model_type", ""));
  for (const KnownModel& model : kModels) {
    if (name.empty() ? type == model.type : name == model.hf_class) return &model;
    classes += concat(classes.empty() ? "" : ", ", model.hf_class);
  }
  return Error{ErrorCode::kData,
               concat(config.path(), ": architecture ", nibble::quoted(name.empty() ? type : name),
                      " is not known; nibble converts ", classes)};
}

class ConfigReader {
 public:
  ConfigReader(const JsonObject& whole, const JsonObject& text, const KnownModel& model,
               Metadata* metadata)
      : whole_(whole),
        text_(text),
        defaults_(defaults_of(model.family)),
        prefix_(concat(model.architecture, ".")),
        metadata_(*metadata) {
    out_.family = model.family;
    out_.architecture = model.architecture;
  }

  Result<HfConfig> read() {
    NIBBLE_TRY_VOID(read_sizes());
    NIBBLE_TRY_VOID(read_rope());
    if (out_.family == Family::kGemma3) NIBBLE_TRY_VOID(read_gemma());
    NIBBLE_TRY_VOID(refuse_unknown_features());
    for (const JsonObject* object : {&text_, &whole_}) {
      if (object->find("tie_word_embeddings") == nullptr) continue;
      NIBBLE_TRY(out_.tied, object->truth("tie_word_embeddings", false));
    }
    if (!out_.tied && out_.family == Family::kGemma3) out_.tied = true;
    return std::move(out_);
  }

 private:
  std::string key(std::string_view name) const { return concat(prefix_, name); }

  Result<void> read_sizes() {
    constexpr uint64_t kContextMax = uint64_t{1} << 31;
    NIBBLE_TRY(out_.layers, text_.whole("num_hidden_layers", 1, 1024));
    NIBBLE_TRY(out_.embedding, text_.whole("hidden_size", 1, 1 << 20));
    NIBBLE_TRY(out_.feed_forward, text_.whole("intermediate_size", 1, 1 << 22));
    NIBBLE_TRY(out_.heads, text_.whole("num_attention_heads", 1, 1024, defaults_.heads));
    NIBBLE_TRY(out_.kv_heads, text_.whole("num_key_value_heads", 1, 1024,
                                          defaults_.kv_heads.value_or(out_.heads)));
    if (out_.heads % out_.kv_heads != 0) {
      return text_.error("num_key_value_heads",
                         concat("is ", out_.kv_heads, ", which does not divide the ", out_.heads,
                                " heads of num_attention_heads"));
    }
    std::optional<uint64_t> head_dim = defaults_.head_dim;
    if (!head_dim && out_.embedding % out_.heads == 0) head_dim = out_.embedding / out_.heads;
    NIBBLE_TRY(out_.head_dim, text_.whole("head_dim", 2, 1024, head_dim));
    if (out_.head_dim % 2 != 0) return text_.error("head_dim", "must be even");
    NIBBLE_TRY(const uint64_t context,
               text_.whole("max_position_embeddings", 1, kContextMax, defaults_.context));
    NIBBLE_TRY(const double eps, text_.real("rms_norm_eps", 0, 1, defaults_.eps));

    metadata_.add_uint32(key("context_length"), context);
    metadata_.add_uint32(key("embedding_length"), out_.embedding);
    metadata_.add_uint32(key("block_count"), out_.layers);
    metadata_.add_uint32(key("feed_forward_length"), out_.feed_forward);
    metadata_.add_uint32(key("attention.head_count"), out_.heads);
    metadata_.add_uint32(key("attention.head_count_kv"), out_.kv_heads);
    metadata_.add_uint32(key("attention.key_length"), out_.head_dim);
    metadata_.add_uint32(key("attention.value_length"), out_.head_dim);
    metadata_.add_float32(key("attention.layer_norm_rms_epsilon"), eps);
    if (out_.family == Family::kLlama) {
      metadata_.add_uint32(key("rope.dimension_count"), out_.head_dim);
    }
    return {};
  }

  // Two generations of keys: rope_theta and rope_scaling; or rope_parameters with both, which for
  // Gemma has one set for each kind of layer.
  Result<void> read_rope() {
    NIBBLE_TRY(std::optional<JsonObject> parameters, text_.object("rope_parameters"));
    if (parameters) {
      NIBBLE_TRY(const auto local, parameters->object("sliding_attention"));
      if (local) NIBBLE_TRY_VOID(read_local_rope(*local, "rope_theta"));
      NIBBLE_TRY(const auto global, parameters->object("full_attention"));
      if (global) parameters.emplace(*global);
    } else {
      NIBBLE_TRY(parameters, text_.object("rope_scaling"));
      NIBBLE_TRY_VOID(read_local_rope(text_, "rope_local_base_freq"));
    }
    const bool inside = parameters && parameters->find("rope_theta") != nullptr;
    NIBBLE_TRY(const double base,
               (inside ? *parameters : text_).real("rope_theta", 1, 1e12, defaults_.rope_base));
    metadata_.add_float32(key("rope.freq_base"), base);
    return parameters ? read_rope_scaling(*parameters, base) : Result<void>();
  }

  Result<void> read_local_rope(const JsonObject& object, const char* name) {
    constexpr double kUsual = 10000;
    if (out_.family != Family::kGemma3) return {};
    NIBBLE_TRY(const double base, object.real(name, 1, 1e12, kUsual));
    if (base != kUsual) metadata_.add_float32(key("rope.freq_base_swa"), base);
    return {};
  }

  Result<void> read_rope_scaling(const JsonObject& rope, double base) {
    const char* name = rope.find("rope_type") != nullptr ? "rope_type" : "type";
    NIBBLE_TRY(const std::string type, rope.text(name, "default"));
    if (type == "default") return {};
    if (type == "linear") {
      NIBBLE_TRY(const double factor, rope.real("factor", 1e-3, 1e6));
      metadata_.add_string(key("rope.scaling.type"), "linear");
      metadata_.add_float32(key("rope.scaling.factor"), factor);
      return {};
    }
    if (type == "llama3" && out_.family == Family::kLlama) {
      Llama3Rope llama;
      llama.base = base;
      NIBBLE_TRY(llama.factor, rope.real("factor", 1, 1e6));
      NIBBLE_TRY(llama.low, rope.real("low_freq_factor", 1e-6, 1e6));
      NIBBLE_TRY(llama.high, rope.real("high_freq_factor", 1e-6, 1e6));
      NIBBLE_TRY(llama.original_context, rope.real("original_max_position_embeddings", 1, 1e12));
      if (llama.high <= llama.low)
        return rope.error("high_freq_factor", "must be above the low one");
      out_.rope_divisors = llama3_rope_divisors(llama, out_.head_dim);
      return {};
    }
    return rope.error(name, concat("is ", nibble::quoted(type), ", which nibble does not have for ",
                                   out_.architecture, " models"));
  }

  Result<void> read_gemma() {
    NIBBLE_TRY(const uint64_t window, text_.whole("sliding_window", 1, 1u << 31, 4096));
    metadata_.add_uint32(key("attention.sliding_window"), window);
    NIBBLE_TRY_VOID(read_window_pattern());
    for (const char* cap : {"attn_logit_softcapping", "final_logit_softcapping"}) {
      NIBBLE_TRY(const double value, text_.real(cap, 0, 1e6, 0.0));
      if (value > 0) metadata_.add_float32(key(cap), value);
    }
    // The runtime divides scores by the square root of this, and knows of 27B's exception.
    const uint64_t divisor = out_.layers == 62 ? out_.embedding / out_.heads : out_.head_dim;
    NIBBLE_TRY(const double scalar,
               text_.real("query_pre_attn_scalar", 1e-6, 1e6, static_cast<double>(divisor)));
    if (scalar != static_cast<double>(divisor)) {
      return text_.error("query_pre_attn_scalar",
                         concat("is not ", divisor, ", the only value that nibble has"));
    }
    return {};
  }

  // Five layers of six see a window, unless the configuration says otherwise.
  Result<void> read_window_pattern() {
    constexpr uint64_t kUsual = 6;
    uint64_t period = kUsual;
    for (const char* name : {"sliding_window_pattern", "_sliding_window_pattern"}) {
      NIBBLE_TRY(period, text_.whole(name, 1, 1024, period));
    }
    GgufArray windows;
    windows.type = GgufType::kBool;
    for (uint64_t i = 0; i < out_.layers; ++i) windows.uints.push_back(i % period != period - 1);
    NIBBLE_TRY(const Json* types, text_.array("layer_types"));
    if (types != nullptr) {
      if (types->size() != out_.layers) {
        return text_.error("layer_types",
                           concat("has ", types->size(), " entries for ", out_.layers, " layers"));
      }
      for (uint64_t i = 0; i < out_.layers; ++i) {
        const bool sliding = (*types)[i] == "sliding_attention";
        if (!sliding && (*types)[i] != "full_attention") {
          return text_.error("layer_types", "may hold sliding_attention and full_attention");
        }
        windows.uints[i] = sliding;
      }
    }
    bool usual = true;
    for (uint64_t i = 0; i < out_.layers; ++i) {
      usual &= windows.uints[i] == (i % kUsual != kUsual - 1);
    }
    if (!usual) metadata_.add_array(key("attention.sliding_window_pattern"), std::move(windows));
    return {};
  }

  // What would be left out silently and give other text.
  Result<void> refuse_unknown_features() {
    for (const JsonObject* object : {&whole_, &text_}) {
      if (object->find("quantization_config") == nullptr) continue;
      return object->error("quantization_config",
                           "the weights are quantised already, in a form that nibble does not "
                           "read; download the original model");
    }
    for (const char* name : {"hidden_activation", "hidden_act"}) {
      NIBBLE_TRY(const std::string activation, text_.text(name, defaults_.activation));
      if (activation != defaults_.activation) {
        return text_.error(name, concat("is ", nibble::quoted(activation), ", nibble has ",
                                        defaults_.activation, " for this architecture"));
      }
    }
    NIBBLE_TRY(const double rotated, text_.real("partial_rotary_factor", 0, 1, 1.0));
    if (rotated != 1)
      return text_.error("partial_rotary_factor", "must be 1 for this architecture");
    NIBBLE_TRY(const bool both_ways, text_.truth("use_bidirectional_attention", false));
    if (both_ways) return text_.error("use_bidirectional_attention", "nibble does not have that");
    if (out_.family == Family::kGemma3) return {};
    NIBBLE_TRY(const bool may_slide, text_.truth("use_sliding_window", true));
    if (may_slide && text_.find("sliding_window") != nullptr) {
      out_.notes.push_back(
          "its layers see a window in long texts, which nibble leaves away: all "
          "see the whole text");
    }
    return {};
  }

  const JsonObject& whole_;
  const JsonObject& text_;
  const Defaults defaults_;
  const std::string prefix_;
  Metadata& metadata_;
  HfConfig out_;
};

}  // namespace

Result<HfConfig> read_hf_config(const std::string& path, const Json& json, Metadata* metadata) {
  const JsonObject whole(path, json);
  NIBBLE_TRY(const KnownModel* model, find_model(whole));
  // Models that see images keep what belongs to the text in an object of its own.
  NIBBLE_TRY(const std::optional<JsonObject> inner, whole.object("text_config"));
  return ConfigReader(whole, inner ? *inner : whole, *model, metadata).read();
}

}  // namespace nibble::cli
