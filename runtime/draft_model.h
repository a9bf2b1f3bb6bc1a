// A smaller model that drafts for a session: its own session, kept in step with the other.
//
// Its cache holds a beginning of what the other holds. It reads the prompt when the first draft is
// wanted, and what it missed since when the next one is. Drafts are its likeliest tokens, and end
// where it is no longer sure enough. Read next: draft_policy.h (when and how many), speculation.h
// (who asks).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/draft_policy.h"

namespace nibble {

class DraftModel {
 public:
  // `options`: those of the session for `model`. Errors: 64 when the vocabularies differ or the
  // engines do, and those of Session::create.
  static Result<std::unique_ptr<DraftModel>> create(const Model& model, SessionOptions options);

  // An answer begins after `tokens`. Forgets what it has that is not a beginning of them.
  void begin(std::span<const int32_t> tokens);
  // Proposes what follows `tokens` and `next`; the count is often 0, and so it is once its context
  // is full. Errors: 65 when its weights turn out to be damaged.
  Result<size_t> draft(std::span<const int32_t> tokens, int32_t next, std::span<int32_t> out);
  // The session has `count` tokens after the last draft, and `right` of the proposed came true.
  void judge(size_t count, size_t proposed, size_t right);
  // A pass of the session took so long.
  void passed(size_t rows, double seconds) { policy_.passed(rows, seconds, evaluated_ > 0); }

  DraftPolicy& policy() { return policy_; }
  void reset();
  void cancel();  // from any thread
  uint64_t memory_bytes() const;

  // Since begin().
  struct Spent {
    double seconds = 0;
    double prompt_s = 0;  // of those, reading what was there before the answer
    uint64_t bytes = 0;   // of weights read
  };
  const Spent& spent() const { return spent_; }

 private:
  DraftModel(std::shared_ptr<Model> draft, std::unique_ptr<Session> session, double cost,
             size_t vocabulary);
  // Evaluates `ids` and `last`, and leaves the logits of the last.
  Result<void> read(std::span<const int32_t> ids, int32_t last);

  std::shared_ptr<Model> model_;
  std::unique_ptr<Session> session_;
  double cost_;
  size_t vocabulary_;  // tokens that both models know
  DraftPolicy policy_;
  std::vector<int32_t> unread_;  // scratch
  size_t prompt_ = 0;            // tokens before the answer
  size_t evaluated_ = 0;         // for the last draft, one after the other
  Spent spent_;
};

}  // namespace nibble
