// The known shapes, from the published configurations of the models, and their metadata.
#include <cmath>
#include <string>

#include "tools/nibble/synth.h"

namespace nibble::cli {
namespace {

// name, architecture, pre-tokeniser, layers, embedding, feed_forward, heads, kv_heads, head_dim,
// vocabulary, context, window, rope_base, rope_scaling, eps
constexpr SynthShape kShapes[] = {
    {"gemma3-270m", "gemma3", "", 18, 640, 2048, 4, 1, 256, 262144, 32768, 512, 1e6f, 1, 1e-6f},
    {"gemma3-1b", "gemma3", "", 26, 1152, 6912, 4, 1, 256, 262144, 32768, 512, 1e6f, 1, 1e-6f},
    {"gemma3-4b", "gemma3", "", 34, 2560, 10240, 8, 4, 256, 262144, 131072, 1024, 1e6f, 8, 1e-6f},
    {"gemma3-12b", "gemma3", "", 48, 3840, 15360, 16, 8, 256, 262144, 131072, 1024, 1e6f, 8, 1e-6f},
    {"gemma3-27b", "gemma3", "", 62, 5376, 21504, 32, 16, 128, 262144, 131072, 1024, 1e6f, 8,
     1e-6f},
    {"gemma2-2b", "gemma2", "", 26, 2304, 9216, 8, 4, 256, 256000, 8192, 4096, 1e4f, 1, 1e-6f},
    {"llama3.2-1b", "llama", "llama-bpe", 16, 2048, 8192, 32, 8, 64, 128256, 131072, 0, 5e5f, 32,
     1e-5f},
    {"phi4-mini", "phi3", "gpt-4o", 32, 3072, 8192, 24, 8, 128, 200064, 131072, 262144, 1e4f, 32,
     1e-5f, 96},
    {"qwen2.5-0.5b", "qwen2", "qwen2", 24, 896, 4864, 14, 2, 64, 151936, 32768, 0, 1e6f, 1, 1e-6f},
    {"qwen3-0.6b", "qwen3", "qwen2", 28, 1024, 3072, 16, 8, 128, 151936, 40960, 0, 1e6f, 1, 1e-6f},
    {"smollm2-135m", "llama", "smollm", 30, 576, 1536, 9, 3, 64, 49152, 8192, 0, 1e5f, 1, 1e-5f},
    // Not models anyone has: small, and with sizes that are no powers of two.
    {"gemma3-tiny", "gemma3", "", 7, 96, 160, 4, 2, 32, 512, 512, 32, 1e6f, 1, 1e-6f},
    {"llama-tiny", "llama", "llama-bpe", 2, 96, 224, 6, 3, 16, 512, 512, 0, 1e4f, 1, 1e-5f},
};

}  // namespace

std::span<const SynthShape> synth_shapes() {
  return kShapes;
}

const SynthShape* find_synth_shape(std::string_view name) {
  for (const SynthShape& shape : kShapes) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

Metadata synth_metadata(const SynthShape& shape) {
  Metadata metadata;
  constexpr uint32_t kMostlyQ4_0 = 2;
  metadata.add_string("general.architecture", std::string(shape.architecture));
  metadata.add_string("general.name", std::string(shape.name) + " with random weights");
  metadata.add_uint32("general.file_type", kMostlyQ4_0);
  metadata.add_uint32("general.quantization_version", 2);
  const auto key = [&](std::string_view name) {
    return std::string(shape.architecture) + "." + std::string(name);
  };
  metadata.add_uint32(key("context_length"), shape.context);
  metadata.add_uint32(key("embedding_length"), shape.embedding);
  metadata.add_uint32(key("block_count"), shape.layers);
  metadata.add_uint32(key("feed_forward_length"), shape.feed_forward);
  metadata.add_uint32(key("attention.head_count"), shape.heads);
  metadata.add_uint32(key("attention.head_count_kv"), shape.kv_heads);
  metadata.add_uint32(key("attention.key_length"), shape.head_dim);
  metadata.add_uint32(key("attention.value_length"), shape.head_dim);
  metadata.add_float32(key("attention.layer_norm_rms_epsilon"), shape.eps);
  metadata.add_float32(key("rope.freq_base"), shape.rope_base);
  if (shape.architecture == "llama") {
    metadata.add_uint32(key("vocab_size"), shape.vocabulary);
    metadata.add_uint32(key("rope.dimension_count"), shape.head_dim);
  }
  if (shape.architecture == "gemma2") {
    metadata.add_float32(key("attn_logit_softcapping"), 50);
    metadata.add_float32(key("final_logit_softcapping"), 30);
  }
  if (shape.architecture == "phi3") {
    const double trained = shape.context / shape.rope_scaling;
    metadata.add_uint32(key("rope.dimension_count"), shape.n_rot);
    metadata.add_uint32(key("rope.scaling.original_context_length"),
                        static_cast<uint32_t>(trained));
    metadata.add_float32(
        key("rope.scaling.attn_factor"),
        static_cast<float>(std::sqrt(1 + std::log(shape.rope_scaling) / std::log(trained))));
  }
  if (shape.window > 0) metadata.add_uint32(key("attention.sliding_window"), shape.window);
  if (shape.architecture == "gemma3" && shape.rope_scaling != 1) {
    metadata.add_string(key("rope.scaling.type"), "linear");
    metadata.add_float32(key("rope.scaling.factor"), shape.rope_scaling);
  }
  return metadata;
}

}  // namespace nibble::cli
