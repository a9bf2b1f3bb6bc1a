// The known shapes, from the published configurations of the models, and their metadata.
#include <string>

#include "tools/nibble/synth.h"

namespace nibble::cli {
namespace {

// name, architecture, layers, embedding, feed_forward, heads, kv_heads, head_dim, vocabulary,
// context, window, rope_base, rope_scaling, eps
constexpr SynthShape kShapes[] = {
    {"gemma3-270m", "gemma3", 18, 640, 2048, 4, 1, 256, 262144, 32768, 512, 1e6f, 1, 1e-6f},
    {"gemma3-1b", "gemma3", 26, 1152, 6912, 4, 1, 256, 262144, 32768, 512, 1e6f, 1, 1e-6f},
    {"gemma3-4b", "gemma3", 34, 2560, 10240, 8, 4, 256, 262144, 131072, 1024, 1e6f, 8, 1e-6f},
    {"llama3.2-1b", "llama", 16, 2048, 8192, 32, 8, 64, 128256, 131072, 0, 5e5f, 32, 1e-5f},
    {"qwen3-0.6b", "qwen3", 28, 1024, 3072, 16, 8, 128, 151936, 40960, 0, 1e6f, 1, 1e-6f},
    // Not models anyone has: small, and with sizes that are no powers of two.
    {"gemma3-tiny", "gemma3", 7, 96, 160, 4, 2, 32, 512, 512, 32, 1e6f, 1, 1e-6f},
    {"llama-tiny", "llama", 2, 96, 224, 6, 3, 16, 512, 512, 0, 1e4f, 1, 1e-5f},
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

void add_synth_metadata(const SynthShape& shape, GgufWriter* writer) {
  constexpr uint32_t kMostlyQ4_0 = 2;
  writer->add_string("general.architecture", shape.architecture);
  writer->add_string("general.name", std::string(shape.name) + " with random weights");
  writer->add_uint32("general.file_type", kMostlyQ4_0);
  writer->add_uint32("general.quantization_version", 2);
  const auto key = [&](std::string_view name) {
    return std::string(shape.architecture) + "." + std::string(name);
  };
  writer->add_uint32(key("context_length"), shape.context);
  writer->add_uint32(key("embedding_length"), shape.embedding);
  writer->add_uint32(key("block_count"), shape.layers);
  writer->add_uint32(key("feed_forward_length"), shape.feed_forward);
  writer->add_uint32(key("attention.head_count"), shape.heads);
  writer->add_uint32(key("attention.head_count_kv"), shape.kv_heads);
  writer->add_uint32(key("attention.key_length"), shape.head_dim);
  writer->add_uint32(key("attention.value_length"), shape.head_dim);
  writer->add_float32(key("attention.layer_norm_rms_epsilon"), shape.eps);
  writer->add_float32(key("rope.freq_base"), shape.rope_base);
  if (shape.architecture == "llama") {
    writer->add_uint32(key("vocab_size"), shape.vocabulary);
    writer->add_uint32(key("rope.dimension_count"), shape.head_dim);
  }
  if (shape.window > 0) writer->add_uint32(key("attention.sliding_window"), shape.window);
  if (shape.architecture == "gemma3" && shape.rope_scaling != 1) {
    writer->add_string(key("rope.scaling.type"), "linear");
    writer->add_float32(key("rope.scaling.factor"), shape.rope_scaling);
  }
}

}  // namespace nibble::cli
