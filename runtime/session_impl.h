// The state of one conversation. Read next: session.cpp (evaluating), generate.cpp (answering).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/draft_model.h"
#include "runtime/kv_cache.h"
#include "runtime/model_impl.h"
#include "runtime/workspace.h"

namespace nibble {

struct Session::Impl {
  Impl(std::shared_ptr<Model> m, KvCache kv, std::unique_ptr<Workspace> scratch);

  // Evaluates ids at the current position, at most `batch` of them; `out` gets the logits of the
  // last out.m, which may be 0. top > 0: the `top` largest of each suffice.
  Result<void> step(std::span<const int32_t> ids, Rows out, size_t top);
  // Evaluates any number of ids in batches; stops early, without an error, when cancelled. The
  // logits of all go to all[ids][vocabulary], or, if that is null, those of the last to
  // `logits(0)`.
  Result<void> evaluate(std::span<const int32_t> ids, float* all, size_t top);
  Result<Completion> generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                              const TextCallback& on_text);
  // Error 64 for an id outside the vocabulary.
  Result<void> check_known(std::span<const int32_t> ids) const;
  // The same, and for none, or more than fit the context.
  Result<void> check_ids(std::span<const int32_t> ids) const;
  Result<void> check_fits(size_t more) const;
  // Forgets all but the first `count` tokens if the cache still allows it, else all. Returns how
  // many are kept.
  size_t keep(size_t count);
  int64_t position() const { return static_cast<int64_t>(tokens.size()); }

  std::shared_ptr<Model> model;
  const Network& network;
  const Tokenizer& tokenizer;
  int64_t context = 0;
  int64_t batch = 0;
  KvCache cache;
  std::unique_ptr<Workspace> workspace;
  // The logits of the last rows evaluated; evaluate() fills the first row only.
  std::span<const float> logits(size_t row) const {
    const Rows rows = workspace->logit_rows(row + 1);
    return {rows.row(row), rows.cols};
  }

  std::vector<int32_t> tokens;   // in the cache
  std::optional<int32_t> unfed;  // sampled, but not yet evaluated
  std::atomic<bool> cancelled{false};
  std::unique_ptr<DraftModel> draft;  // may be null

  std::string system;
  std::vector<ChatMessage> messages;  // contents shielded
  std::string fed;                    // the chat text that the cache holds
};

}  // namespace nibble
