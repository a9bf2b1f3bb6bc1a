#include "runtime/grammar/gbnf_parser.h"

#include <algorithm>

#include "runtime/file/concat.h"
#include "runtime/text/utf8.h"

namespace nibble {
namespace {

using Kind = GrammarElement::Kind;

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

ByteSet byte_range(uint32_t low, uint32_t high) {
  ByteSet set;
  for (uint32_t byte = low; byte <= high; ++byte) set.set(byte);
  return set;
}

}  // namespace

Result<std::shared_ptr<const Grammar>> Grammar::parse(std::string_view source) {
  return GbnfParser(source).parse();
}

Result<std::shared_ptr<const Grammar>> parse_grammar(std::string_view gbnf) {
  return Grammar::parse(gbnf);
}

Error GbnfParser::wrong(const std::string& what) const {
  const auto line = std::count(
      source_.begin(), source_.begin() + static_cast<std::ptrdiff_t>(std::min(at_, source_.size())),
      '\n');
  return {ErrorCode::kUsage, "grammar, line " + std::to_string(line + 1) + ": " + what};
}

Result<std::shared_ptr<const Grammar>> GbnfParser::parse() {
  if (source_.size() > Grammar::kSourceMax) {
    return Error{ErrorCode::kUsage, "the grammar has " + std::to_string(source_.size()) +
                                        " bytes, at most " + std::to_string(Grammar::kSourceMax) +
                                        " are taken"};
  }
  skip_space(true);
  while (!at_end()) {
    NIBBLE_TRY_VOID(take_rule());
    skip_space(true);
  }
  for (const auto& [name, rule] : names_) {
    if (!defined_[rule]) return Error{ErrorCode::kUsage, "grammar: there is no rule " + name};
  }
  const auto root = names_.find("root");
  if (root == names_.end()) return Error{ErrorCode::kUsage, "grammar: there is no rule root"};
  grammar_->root_ = root->second;
  NIBBLE_TRY_VOID(grammar_->check_progress());
  return std::shared_ptr<const Grammar>(grammar_);
}

Result<void> GbnfParser::take_rule() {
  const std::string_view name = take_name();
  if (name.empty()) return wrong("a rule begins with its name");
  const uint32_t rule = rule_named(name);
  if (defined_[rule]) return wrong("rule " + std::string(name) + " is there twice");
  defined_[rule] = true;
  skip_space(false);
  if (!take("::=")) return wrong("::= is missing behind " + std::string(name));
  skip_space(true);
  NIBBLE_TRY_VOID(take_alternatives(rule, 0));
  if (!at_end() && peek() != '\n' && peek() != '\r') return wrong("the rule does not end here");
  return {};
}

Result<void> GbnfParser::take_alternatives(uint32_t rule, size_t depth) {
  if (depth > Grammar::kDepthMax) return wrong("parentheses are nested too deeply");
  while (true) {
    NIBBLE_TRY(const Sequence sequence, take_sequence(depth));
    NIBBLE_TRY_VOID(add_alternative(rule, sequence));
    // An alternative may go on in the next line; what begins with a name there is the next rule.
    const size_t before = at_;
    skip_space(true);
    if (!take("|")) {
      if (depth == 0) at_ = before;
      return {};
    }
    skip_space(true);
  }
}

Result<GbnfParser::Sequence> GbnfParser::take_sequence(size_t depth) {
  Sequence out;
  while (true) {
    skip_space(depth > 0);
    const char c = peek();
    if (at_end() || c == '|' || c == ')' || c == '\n' || c == '\r') return out;
    NIBBLE_TRY(Sequence item, take_item(depth));
    skip_space(depth > 0);
    NIBBLE_TRY(item, take_repetition(std::move(item)));
    out.insert(out.end(), item.begin(), item.end());
    if (out.size() > Grammar::kElementsMax) return wrong("the grammar is too large");
  }
}

Result<GbnfParser::Sequence> GbnfParser::take_item(size_t depth) {
  if (peek() == '"') return take_literal();
  if (peek() == '[') return take_class();
  if (take(".")) return characters({{0, 0x10FFFF}});
  if (take("(")) {
    const uint32_t rule = new_rule();
    NIBBLE_TRY_VOID(take_alternatives(rule, depth + 1));
    skip_space(true);
    if (!take(")")) return wrong("a parenthesis is not closed");
    return Sequence{{Kind::kRule, rule}};
  }
  const std::string_view name = take_name();
  if (name.empty()) return wrong(concat("'", source_.substr(at_, 1), "' is not expected here"));
  return Sequence{{Kind::kRule, rule_named(name)}};
}

Result<GbnfParser::Sequence> GbnfParser::take_literal() {
  Sequence out;
  ++at_;
  while (!take("\"")) {
    NIBBLE_TRY(const uint32_t character, take_character());
    std::string text;
    utf8_append(character, &text);
    for (const char byte : text) {
      const auto value = static_cast<unsigned char>(byte);
      out.push_back(bytes(byte_range(value, value)));
    }
  }
  return out;
}

Result<GbnfParser::Sequence> GbnfParser::take_class() {
  ++at_;
  const bool negated = take("^");
  std::vector<Range> ranges;
  while (!take("]")) {
    NIBBLE_TRY(const uint32_t low, take_character());
    uint32_t high = low;
    if (peek() == '-' && at_ + 1 < source_.size() && source_[at_ + 1] != ']') {
      ++at_;
      NIBBLE_TRY(high, take_character());
    }
    if (high < low) return wrong("a range ends before it begins");
    ranges.emplace_back(low, high);
  }
  std::sort(ranges.begin(), ranges.end());
  if (!negated) return characters(std::move(ranges));
  std::vector<Range> rest;
  uint32_t next = 0;
  for (const auto& [low, high] : ranges) {
    if (low > next) rest.emplace_back(next, low - 1);
    next = std::max(next, high + 1);
  }
  if (next <= 0x10FFFF) rest.emplace_back(next, 0x10FFFF);
  return characters(std::move(rest));
}

Result<uint32_t> GbnfParser::take_character() {
  if (at_end() || peek() == '\n') return wrong("a text or a set of characters is not closed");
  if (!take("\\")) {
    uint32_t character = 0;
    const int length = utf8_decode(source_.substr(at_), &character);
    if (length == 0) return wrong("a byte is not UTF-8");
    at_ += static_cast<size_t>(length);
    return character;
  }
  const char c = peek();
  ++at_;
  const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (digits > 0) {
    uint32_t character = 0;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      const int digit = hex_digit(peek());
      if (digit < 0) return wrong("an escape lacks a hexadecimal digit");
      character = character << 4 | static_cast<uint32_t>(digit);
    }
    const bool is_character =
        character <= 0x10FFFF && !(character >= 0xD800 && character <= 0xDFFF);
    if (!is_character) return wrong("an escape is no character");
    return character;
  }
  constexpr std::string_view kLetters = "nrt\\\"[]^-";
  constexpr std::string_view kMeanings = "\n\r\t\\\"[]^-";
  const size_t found = kLetters.find(c);
  if (found == std::string_view::npos) return wrong("an escape is not known");
  return static_cast<uint32_t>(kMeanings[found]);
}

Result<uint64_t> GbnfParser::take_count() {
  uint64_t count = 0;
  if (peek() < '0' || peek() > '9') return wrong("a number of repetitions is missing");
  for (; peek() >= '0' && peek() <= '9'; ++at_) {
    count = count * 10 + static_cast<uint64_t>(peek() - '0');
    if (count > Grammar::kRepeatMax) {
      return wrong("more than " + std::to_string(Grammar::kRepeatMax) + " repetitions");
    }
  }
  return count;
}

Result<GbnfParser::Sequence> GbnfParser::take_repetition(Sequence item) {
  if (take("?")) return repeat(item, 0, 1);
  if (take("*")) return repeat(item, 0, std::nullopt);
  if (take("+")) return repeat(item, 1, std::nullopt);
  if (!take("{")) return item;
  skip_space(false);
  NIBBLE_TRY(const uint64_t least, take_count());
  std::optional<uint64_t> most = least;
  skip_space(false);
  if (take(",")) {
    most = std::nullopt;
    skip_space(false);
    if (peek() != '}') {
      NIBBLE_TRY(most, take_count());
    }
  }
  skip_space(false);
  if (!take("}")) return wrong("a number of repetitions is not closed by }");
  if (most && *most < least) return wrong("repetitions end before they begin");
  return repeat(item, least, most);
}

Result<GbnfParser::Sequence> GbnfParser::repeat(const Sequence& item, uint64_t least,
                                                std::optional<uint64_t> most) {
  const uint64_t copies = most ? *most : least + 1;
  if (copies * (item.size() + 2) > Grammar::kElementsMax) return wrong("the grammar is too large");
  Sequence out;
  for (uint64_t i = 0; i < least; ++i) out.insert(out.end(), item.begin(), item.end());
  Sequence tail;  // what may follow, from the last on
  if (!most) {
    const uint32_t rule = new_rule();
    tail = item;
    tail.push_back({Kind::kRule, rule});
    NIBBLE_TRY_VOID(add_alternative(rule, tail));
    NIBBLE_TRY_VOID(add_alternative(rule, {}));
    tail = {{Kind::kRule, rule}};
  } else {
    for (uint64_t i = least; i < *most; ++i) {
      const uint32_t rule = new_rule();
      Sequence one = item;
      one.insert(one.end(), tail.begin(), tail.end());
      NIBBLE_TRY_VOID(add_alternative(rule, one));
      NIBBLE_TRY_VOID(add_alternative(rule, {}));
      tail = {{Kind::kRule, rule}};
    }
  }
  out.insert(out.end(), tail.begin(), tail.end());
  return out;
}

// ASCII is one set; what is beyond becomes a rule of byte sequences.
GbnfParser::Sequence GbnfParser::characters(std::vector<Range> ranges) {
  ByteSet ascii;
  std::vector<Sequence> sequences;
  for (const auto& [low, high] : ranges) {
    if (low < 0x80) ascii |= byte_range(low, std::min(high, 0x7Fu));
    if (high >= 0x80) add_utf8(std::max(low, 0x80u), high, &sequences);
  }
  if (sequences.empty()) return {bytes(ascii)};  // of nothing: nothing is allowed
  const uint32_t rule = new_rule();
  if (ascii.any()) sequences.push_back({bytes(ascii)});
  // The limit is checked where an alternative of the source is added.
  for (const Sequence& sequence : sequences) (void)add_alternative(rule, sequence).ok();
  return {{Kind::kRule, rule}};
}

// The byte sequences of code points low .. high, from 0x80 on: split where the length changes and
// until all continuation bytes but those of one place are whole.
void GbnfParser::add_utf8(uint32_t low, uint32_t high, std::vector<Sequence>* out) {
  for (const uint32_t last : {0x7FFu, 0xD7FFu, 0xFFFFu}) {
    if (low <= last && high > last) {
      add_utf8(low, last, out);
      low = last == 0xD7FF ? 0xE000 : last + 1;  // surrogates are no characters
    }
  }
  if (low >= 0xD800 && low <= 0xDFFF) low = 0xE000;
  if (high >= 0xD800 && high <= 0xDFFF) high = 0xD7FF;
  if (low > high) return;
  for (uint32_t bits = 6; bits <= 18; bits += 6) {
    const uint32_t mask = (1u << bits) - 1;
    if ((low & ~mask) == (high & ~mask)) break;
    if ((low & mask) != 0) {
      add_utf8(low, low | mask, out);
      return add_utf8((low | mask) + 1, high, out);
    }
    if ((high & mask) != mask) {
      add_utf8(low, (high & ~mask) - 1, out);
      return add_utf8(high & ~mask, high, out);
    }
  }
  std::string first;
  std::string final;
  utf8_append(low, &first);
  utf8_append(high, &final);
  Sequence sequence;
  for (size_t i = 0; i < first.size(); ++i) {
    sequence.push_back(bytes(
        byte_range(static_cast<unsigned char>(first[i]), static_cast<unsigned char>(final[i]))));
  }
  out->push_back(std::move(sequence));
}

uint32_t GbnfParser::rule_named(std::string_view name) {
  const auto found = names_.find(name);
  if (found != names_.end()) return found->second;
  const uint32_t rule = new_rule();
  grammar_->rules_[rule].name = name;
  defined_[rule] = false;
  names_.emplace(name, rule);
  return rule;
}

uint32_t GbnfParser::new_rule() {
  grammar_->rules_.emplace_back();
  defined_.push_back(true);
  return static_cast<uint32_t>(grammar_->rules_.size() - 1);
}

Result<void> GbnfParser::add_alternative(uint32_t rule, const Sequence& sequence) {
  auto& elements = grammar_->elements_;
  if (elements.size() + sequence.size() >= Grammar::kElementsMax) {
    return wrong("the grammar is too large");
  }
  grammar_->rules_[rule].alternatives.push_back(static_cast<uint32_t>(elements.size()));
  elements.insert(elements.end(), sequence.begin(), sequence.end());
  elements.push_back({});
  return {};
}

GrammarElement GbnfParser::bytes(const ByteSet& set) {
  auto& sets = grammar_->sets_;
  // Most are among the latest; a set that is there twice does no harm.
  const size_t from = sets.size() > 64 ? sets.size() - 64 : 0;
  const auto found = std::find(sets.begin() + static_cast<std::ptrdiff_t>(from), sets.end(), set);
  if (found != sets.end()) return {Kind::kBytes, static_cast<uint32_t>(found - sets.begin())};
  sets.push_back(set);
  return {Kind::kBytes, static_cast<uint32_t>(sets.size() - 1)};
}

void GbnfParser::skip_space(bool lines) {
  while (!at_end()) {
    const char c = peek();
    if (c == '#') {
      while (!at_end() && peek() != '\n') ++at_;
    } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
      ++at_;
    } else {
      return;
    }
  }
}

bool GbnfParser::take(std::string_view text) {
  if (!source_.substr(std::min(at_, source_.size())).starts_with(text)) return false;
  at_ += text.size();
  return true;
}

std::string_view GbnfParser::take_name() {
  const size_t begin = at_;
  while (is_name(peek())) ++at_;
  return source_.substr(begin, at_ - begin);
}

}  // namespace nibble
