// What the KV cache of a model takes at different context lengths, from its file's metadata.
// Read next: cmd_inspect.cpp, runtime/kv_cache.h.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/file/gguf.h"

namespace nibble::cli {

struct KvMemory {
  int64_t context;  // tokens
  uint64_t bytes;   // of an f16 cache for one conversation, with the default batch
};

// For powers of two from 2048 tokens and for the length the model was trained for. Empty for files
// without weights and for those whose dimensions nibble cannot use.
std::vector<KvMemory> kv_memory_table(const GgufFile& file);

}  // namespace nibble::cli
