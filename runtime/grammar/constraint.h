// Holds an answer to a grammar: which tokens may come next.
//
// A token is tried byte by byte, in microseconds, so the likeliest are tried first, and usually one
// of them is allowed. Only where none is, all are: the vocabulary in the order of its bytes, where
// whatever begins as a forbidden one did is passed over, so that the cost follows the number of
// allowed tokens. Read next: matcher.h, sampler.h (who asks).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "runtime/grammar/matcher.h"
#include "runtime/sampler.h"
#include "runtime/text/tokenizer.h"

namespace nibble {

// A vocabulary's tokens in the order of their bytes, without those that stand for nothing.
// Immutable; made once for a model.
class TokenOrder {
 public:
  explicit TokenOrder(const Tokenizer& tokenizer);
  size_t size() const { return ids_.size(); }
  int32_t id(size_t i) const { return ids_[i]; }
  // Bytes that token i begins with as token i - 1 does.
  size_t shared(size_t i) const { return shared_[i]; }
  // The first token behind i that shares fewer than `bytes` bytes with the one before it.
  size_t skip(size_t i, size_t bytes) const;

 private:
  std::vector<int32_t> ids_;
  std::vector<uint8_t> shared_;  // at most 255
};

class Constraint final : public TokenFilter {
 public:
  Constraint(std::shared_ptr<const Grammar> grammar, const Tokenizer& tokenizer,
             const TokenOrder& order);

  bool allows(int32_t id) override;
  void all_allowed(std::vector<int32_t>* out) override;
  // The token was chosen.
  void accept(int32_t id);
  // The text is whole and nothing can follow.
  bool complete() const { return state_.end && state_.stacks.empty(); }
  // The grammar is too ambiguous to be followed (Matcher::exhausted): nothing is allowed any more.
  bool exhausted() const { return matcher_.exhausted(); }

 private:
  Matcher matcher_;
  const Tokenizer& tokenizer_;
  const TokenOrder& order_;
  Matcher::State state_;
  Matcher::State next_, other_;       // scratch
  std::vector<Matcher::State> path_;  // scratch: the states behind each byte of a token
};

}  // namespace nibble
