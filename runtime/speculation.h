// The rows of one decoding pass: a sampled token, and a guess of those that follow it. Guesses come
// from the text so far (lookup.h), which costs nothing, else from the draft model if there is one.
//
// The sampler chooses from each row's logits as it would have without, and a guess counts only
// where it is the token chosen: answers never change. Read next: generate.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "nibble/result.h"
#include "runtime/draft_model.h"
#include "runtime/lookup.h"

namespace nibble {

class Speculation {
 public:
  // `tokens`: the most that will be accepted; 0: no lookup. `draft` may be null.
  Speculation(size_t tokens, DraftModel* draft)
      : lookup_(tokens), looks_up_(tokens > 0), draft_(draft) {}

  // The next token of the prompt or the answer.
  void accept(int32_t id) {
    if (looks_up_) lookup_.accept(id);
  }

  // Makes the rows of the next pass, at most `most`: `next`, which follows `tokens`, and a guess.
  Result<void> start(std::span<const int32_t> tokens, int32_t next, size_t most) {
    rows_[0] = next;
    right_ = 0;
    const auto guess = std::span(rows_).subspan(1, most - 1);
    size_ = looks_up_ ? lookup_.draft(guess) : 0;
    by_model_ = size_ == 0 && draft_ != nullptr && !guess.empty();
    if (by_model_) {
      NIBBLE_TRY(size_, draft_->draft(tokens, next, guess));
    }
    return {};
  }
  std::span<const int32_t> rows() const { return std::span(rows_).first(size_ + 1); }
  // How long their evaluation took.
  void passed(double seconds) {
    if (draft_ != nullptr) draft_->passed(size_ + 1, seconds);
  }

  // Whether the token sampled is the next of the guess, and so evaluated already.
  bool comes_true(int32_t token) {
    if (right_ == size_ || rows_[right_ + 1] != token) return false;
    ++right_;
    return true;
  }
  // Row of the logits to sample from.
  size_t right() const { return right_; }
  // Guessed tokens which did not come true and are at the end of what was evaluated.
  size_t ahead() const { return size_ - right_; }

  // Learns from the guess; `tokens`: how many are evaluated, without those ahead.
  void judge(size_t tokens) {
    if (by_model_) {
      draft_->judge(tokens, size_, right_);
    } else if (looks_up_) {
      lookup_.judge(size_, right_);
    }
    size_ = right_ = 0;
    by_model_ = false;
  }

  size_t size() const { return size_; }
  bool by_model() const { return by_model_; }

 private:
  Lookup lookup_;
  bool looks_up_;
  DraftModel* draft_;
  std::array<int32_t, Lookup::kMostRows> rows_{};
  size_t size_ = 0;  // of the guess
  size_t right_ = 0;
  bool by_model_ = false;
};

}  // namespace nibble
