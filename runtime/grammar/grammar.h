// A context-free grammar over bytes: what an answer may be. Compiled from GBNF (the notation of
// llama.cpp's grammars); JSON Schemas come as GBNF too.
//
//   root  ::= "yes" | "no" | number      # a rule: alternatives of sequences
//   number ::= [1-9] [0-9]{0,3} | "0"    # characters and ranges; ? * + {n} {n,} {n,m}
//
// Compiled, a grammar is rules of alternatives of elements; an element is a set of bytes, or a
// rule. Characters beyond ASCII are sequences of sets. Repetitions are rules of their own. Grammars
// that could go on for ever without a byte, and those beyond the limits, are refused. Immutable and
// thread-safe. Read next: gbnf_parser.h (the notation), matcher.h (the automaton).
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

#include "nibble/batch.h"

namespace nibble {

using ByteSet = std::bitset<256>;

struct GrammarElement {
  enum class Kind : uint8_t { kEnd, kBytes, kRule };  // kEnd: of the alternative
  Kind kind = Kind::kEnd;
  uint32_t value = 0;  // index of the set, or of the rule
};

class Grammar {
 public:
  struct Rule {
    std::string name;
    std::vector<uint32_t> alternatives;  // where each begins in elements()
  };

  // Limits that real grammars are far from.
  static constexpr size_t kSourceMax = 512 << 10;  // bytes
  static constexpr size_t kElementsMax = 200'000;
  static constexpr size_t kDepthMax = 64;
  static constexpr uint64_t kRepeatMax = 5'000;

  // Errors 64 with the line: what is no GBNF, an unknown rule, no rule `root`, left recursion, or a
  // limit that is exceeded.
  static Result<std::shared_ptr<const Grammar>> parse(std::string_view source);

  const std::vector<GrammarElement>& elements() const { return elements_; }
  const Rule& rule(uint32_t index) const { return rules_[index]; }
  const ByteSet& bytes(uint32_t index) const { return sets_[index]; }
  uint32_t root() const { return root_; }

 private:
  friend class GbnfParser;
  // Error 64 for a rule that comes back to itself without a byte.
  Result<void> check_progress() const;

  std::vector<GrammarElement> elements_;
  std::vector<Rule> rules_;
  std::vector<ByteSet> sets_;
  uint32_t root_ = 0;
};

}  // namespace nibble
