// What a model and a conversation with it will take of memory, worked out before any is taken.
//
// Sizes come from the same code that allocates: a WeightLoader that has collected its tensors, the
// KV cache's and the scratch memory's own arithmetic. A file's header is enough. Thread-safe.
// Read next: weights.h, kv_cache.h, tools/nibble/cmd_plan.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/file/gguf.h"
#include "runtime/machine/topology.h"
#include "runtime/network.h"
#include "runtime/ops/kernel_set.h"
#include "runtime/weights.h"

namespace nibble {

// Bytes that are resident once a model is loaded, whatever its sessions.
struct ModelMemory {
  uint64_t packed = 0;    // weights in the kernels' layouts
  uint64_t in_place = 0;  // of the mapped file, read for each token: evicting it would be felt
  uint64_t screen = 0;    // of a float output head
  uint64_t floats = 0;    // norms and biases
  uint64_t text = 0;      // vocabulary, tokenizer, the file's header; estimated
  uint64_t program = 0;   // code, libraries, heap, stacks; estimated
  // Rows of the mapped file that are read now and then (embeddings, a screened head): the system
  // keeps of them what it has room for. Not part of the total.
  uint64_t on_demand = 0;

  ModelShape shape;
  uint64_t decode_bytes = 0;   // read per decoded token, without the cache
  uint64_t int8_products = 0;  // per prompt token, as Model::int8_products()

  uint64_t weights() const { return packed + in_place + screen + floats; }
  uint64_t total() const { return weights() + text + program; }
};

// Of a network whose tensors `loader` has collected from `file`.
ModelMemory model_memory(const GgufFile& file, const Network& network, const WeightLoader& loader,
                         const KernelSet& kernels, HeadMode head);
// Of a file, or of its header alone. Errors (65) as when it is loaded, but for what the data hold.
Result<ModelMemory> model_memory(const GgufFile& file, const KernelSet& kernels, HeadMode head);

// What Session::create() allocates.
struct SessionMemory {
  int64_t context = 0;
  int64_t batch = 0;
  Format kv_format = Format::kF16;
  OpsScratch::Sizes ops;
  uint64_t kv = 0;
  uint64_t scratch = 0;  // activations, attention states, logits

  uint64_t total() const { return kv + scratch; }
};

// Error 64: context or batch out of range, or a cache format that does not suit the heads.
Result<SessionMemory> session_memory(const ModelShape& shape, const SessionOptions& options);

// The largest context, a multiple of NIBBLE_KEY_BLOCK or the trained length, whose session takes at
// most `bytes`; 0 if none does.
int64_t largest_context(const ModelShape& shape, SessionOptions options, uint64_t bytes);

// How much memory there may be, and who says so ("--memory allows", "this machine has").
struct MemoryLimit {
  uint64_t bytes = 0;
  std::string_view whose;
};
// The least of what was asked for (0: nothing was), the control group's limit and the machine's.
MemoryLimit memory_limit(const Topology& topology, uint64_t asked);

// The bytes of the model and its session (LoadOptions::session). Error 71 if they and the reserved
// ones do not fit: what is needed for what, and what would fit: a shorter context, a smaller cache
// format, or a smaller type of this model.
Result<uint64_t> check_memory(const GgufFile& file, const KernelSet& kernels,
                              const ModelMemory& model, const LoadOptions& options,
                              const MemoryLimit& limit);

}  // namespace nibble
