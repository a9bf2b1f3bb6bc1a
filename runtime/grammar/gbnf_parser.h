// Reads GBNF into a Grammar. Read next: gbnf_parser.cpp.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/grammar/grammar.h"

namespace nibble {

class GbnfParser {
 public:
  explicit GbnfParser(std::string_view source) : source_(source) {}
  Result<std::shared_ptr<const Grammar>> parse();

 private:
  using Sequence = std::vector<GrammarElement>;
  using Range = std::pair<uint32_t, uint32_t>;  // of code points, both included

  Result<void> take_rule();
  // One or more sequences, apart by '|', as the alternatives of `rule`.
  Result<void> take_alternatives(uint32_t rule, size_t depth);
  Result<Sequence> take_sequence(size_t depth);
  Result<Sequence> take_item(size_t depth);
  Result<Sequence> take_literal();
  Result<Sequence> take_class();
  Result<uint32_t> take_character();
  Result<Sequence> take_repetition(Sequence item);
  Result<uint64_t> take_count();

  // What stands for an item that comes `least` to `most` times (0: any number).
  Result<Sequence> repeat(const Sequence& item, uint64_t least, std::optional<uint64_t> most);
  Sequence characters(std::vector<Range> ranges);
  void add_utf8(uint32_t low, uint32_t high, std::vector<Sequence>* out);

  uint32_t rule_named(std::string_view name);
  uint32_t new_rule();
  Result<void> add_alternative(uint32_t rule, const Sequence& sequence);
  GrammarElement bytes(const ByteSet& set);

  void skip_space(bool lines);
  bool at_end() const { return at_ >= source_.size(); }
  char peek() const { return at_end() ? '\0' : source_[at_]; }
  bool take(std::string_view text);
  std::string_view take_name();
  Error wrong(const std::string& what) const;

  std::string_view source_;
  size_t at_ = 0;
  std::shared_ptr<Grammar> grammar_ = std::make_shared<Grammar>();
  std::map<std::string, uint32_t, std::less<>> names_;
  std::vector<bool> defined_;
};

}  // namespace nibble
