// Follows a text through a grammar, byte by byte: a push-down automaton whose state is the set of
// all stacks that the text so far allows.
//
// A stack is a place in an alternative and the stack to go back to behind it; equal ones are kept
// once, so that a state is a few numbers and what can follow a place is computed once. A rule at
// the end of an alternative needs no way back: repetitions do not deepen the stack. One per answer;
// not thread-safe. Read next: constraint.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/grammar/grammar.h"

namespace nibble {

class Matcher {
 public:
  // Places that begin with a byte set, ascending; `end`: the text may end here.
  struct State {
    std::vector<uint32_t> stacks;
    bool end = false;
    bool dead() const { return stacks.empty() && !end; }
  };

  explicit Matcher(std::shared_ptr<const Grammar> grammar);

  const State& start() const { return start_; }
  // The state behind `byte`; dead if it is not allowed. `into` may not be `from`.
  void advance(const State& from, uint8_t byte, State* into);
  // Whether it can follow.
  bool allows(const State& from, uint8_t byte) const;

  // More stacks at once, or in all, than a grammar that means well has: nothing is allowed any
  // more.
  bool exhausted() const { return exhausted_; }

 private:
  static constexpr size_t kStateMax = 512;
  static constexpr size_t kStacksMax = 1 << 20;
  static constexpr uint32_t kBottom = UINT32_MAX;

  struct Stack {
    uint32_t element;
    uint32_t below;  // kBottom: none
    bool followed = false;
    bool end = false;              // the text may end behind this element
    uint32_t first = 0, last = 0;  // what can follow: followers_[first, last)
  };
  uint32_t intern(uint32_t element, uint32_t below);
  // All stacks that begin with a byte set and are reached from this place without a byte.
  void expand(uint32_t element, uint32_t below, std::vector<uint32_t>* out, bool* end);
  void follow(uint32_t stack);

  std::shared_ptr<const Grammar> grammar_;
  std::vector<Stack> stacks_;
  std::vector<uint32_t> followers_;
  std::unordered_map<uint64_t, uint32_t> known_;
  State start_;
  bool exhausted_ = false;
  std::vector<uint64_t> work_;     // scratch
  std::vector<uint32_t> reached_;  // scratch
};

}  // namespace nibble
