// Random-weight models in the exact shapes of known ones: for benchmarks and for tests.
//
// The files load wherever GGUF files load: all metadata, a vocabulary of full size with made-up
// tokens, Q4_0 matrices, F32 norms near 1. Weights are Gaussian with deviation 1/sqrt(k), so that
// activations stay finite through all layers. The same shape, head and seed give the same bytes.
// Read next: synth_shapes.cpp, synth_vocabulary.cpp, synth_weights.h, synth.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "nibble/result.h"
#include "runtime/file/gguf.h"
#include "runtime/file/gguf_writer.h"
#include "simd/format.h"
#include "tools/nibble/convert/metadata.h"

namespace nibble::cli {

struct SynthShape {
  std::string_view name;          // "gemma3-1b"
  std::string_view architecture;  // "gemma3", "llama", "qwen3"
  std::string_view pre;           // rule of byte-level BPE ("llama-bpe"); empty: SentencePiece
  uint32_t layers, embedding, feed_forward;
  uint32_t heads, kv_heads, head_dim;
  uint32_t vocabulary, context;
  uint32_t window;  // 0: none
  float rope_base;
  float rope_scaling;  // of positions (Gemma), rope_freqs (Llama 3.x), LongRoPE (Phi); 1: none
  float eps;
  uint32_t n_rot = 0;  // rotated dimensions of a head; 0: all
};

std::span<const SynthShape> synth_shapes();
// Null for an unknown name.
const SynthShape* find_synth_shape(std::string_view name);

struct SynthOptions {
  Format head = Format::kF16;  // of the embedding, which is also the output head
  uint64_t seed = 0;
  std::function<bool(double fraction)> progress;  // return false to stop; called in this thread
};

// Writes the model. Errors: those of GgufWriter; 130 when `progress` stopped it. Nothing is left of
// a file that was not finished.
Result<void> synthesize(const SynthShape& shape, const SynthOptions& options,
                        const std::string& path);

// The header of such a model in F16, without vocabulary and data: for what one takes of memory.
GgufFile synth_header(const SynthShape& shape);

// Its parts: hyperparameters, and the tokenizer.
Metadata synth_metadata(const SynthShape& shape);
void add_synth_vocabulary(const SynthShape& shape, GgufWriter* writer);

}  // namespace nibble::cli
