#include "tools/nibble/serve/budget.h"

#include <algorithm>

#include "runtime/engine_impl.h"
#include "runtime/file/concat.h"
#include "runtime/memory_plan.h"
#include "tools/nibble/command.h"

namespace nibble::cli {

Result<BatchOptions> fit_batch(const GgufFile& file, const Engine& engine,
                               const ServiceOptions& options, uint64_t reserved_bytes, bool all) {
  const Engine::Impl& machine = engine.impl();
  BatchOptions batch = options.batch;
  NIBBLE_TRY(const ModelMemory model, model_memory(file, machine.kernels, options.load.head));
  const auto one =
      session_memory(model.shape, {.context = batch.context, .batch = batch.batch, .kv = batch.kv});
  if (!one) return batch;  // Batch::create() says why
  const MemoryLimit limit = memory_limit(machine.topology, options.load.memory_limit);
  const uint64_t least = model.total() + one->total() + reserved_bytes;
  if (limit.bytes == 0) return batch;
  // Beside the first answer; without room for that, loading says so.
  const uint64_t left = limit.bytes - std::min(limit.bytes, least);
  const uint64_t each = one->kv + model.shape.vocabulary * sizeof(float);  // and its logits
  const auto asked = static_cast<uint64_t>(batch.sequences - 1);
  if (asked * each + batch.prefix_bytes <= left) return batch;
  // A quarter for what prompts begin with: computing that again is what costs most.
  const uint64_t kept = std::min(batch.prefix_bytes, left / 4);
  const uint64_t more = std::min(asked, (left - kept) / each);
  batch.sequences = 1 + static_cast<int64_t>(more);
  batch.prefix_bytes = std::min(batch.prefix_bytes, left - more * each);
  const std::string fits =
      concat(batch.sequences, batch.sequences == 1 ? " answer" : " answers", " at once and ",
             human_bytes(batch.prefix_bytes), " of prompts' beginnings");
  const std::string wanted = concat("wanted were ", asked + 1, " (--parallel) and ",
                                    human_bytes(options.batch.prefix_bytes), " (--prefix-cache)");
  if (all) {
    return Error{ErrorCode::kOs,
                 concat(file.path(), ": ", limit.whose, " ", human_bytes(limit.bytes),
                        ", room for ", fits, "; ", wanted)};
  }
  if (batch.note) {
    batch.note(concat(file.path(), ": ", limit.whose, " ", human_bytes(limit.bytes), ", room for ",
                      fits, "; ", wanted, "; a shorter context (-c) makes room"));
  }
  return batch;
}

}  // namespace nibble::cli
