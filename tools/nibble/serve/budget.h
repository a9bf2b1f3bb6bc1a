// What the answers of a model may take of memory. Read next: service.h, runtime/memory_plan.h.
#pragma once

#include "runtime/file/gguf.h"
#include "tools/nibble/serve/service.h"

namespace nibble::cli {

// As many answers at once, and as much kept of prompts, as was asked for and as there is room for
// beside the model, one answer and `reserved_bytes`. Errors: 71 if `all` is wanted and that is less
// than what was asked for; 65 as when it is loaded.
Result<BatchOptions> fit_batch(const GgufFile& file, const Engine& engine,
                               const ServiceOptions& options, uint64_t reserved_bytes, bool all);

}  // namespace nibble::cli
