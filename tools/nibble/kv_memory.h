// What the KV cache of a model takes, worked out from the metadata of its file.
// Read next: cmd_inspect.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/file/gguf.h"

namespace nibble::cli {

// Bytes of an f16 KV cache for `context` tokens (one sequence, prompts evaluated in batches of
// 256); nothing for files without a model's dimensions. Layers with a sliding window hold only
// their window and a batch.
std::optional<uint64_t> kv_cache_bytes(const GgufFile& file, uint64_t context);

// Context lengths for a table: powers of two from 2048 and the length the model was trained for.
std::vector<uint64_t> kv_table_contexts(const GgufFile& file);

}  // namespace nibble::cli
