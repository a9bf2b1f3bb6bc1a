#include "runtime/text/pretokenizer.h"

#include <algorithm>

#include "runtime/file/concat.h"
#include "runtime/text/unicode.h"
#include "runtime/text/utf8.h"

namespace nibble {
namespace {

struct NamedRule {
  std::string_view name;
  PreTokenizerRule rule;
};
constexpr PreTokenizerRule kLlama3Rule = {PreTokenizer::kLlama3, true, true};
constexpr NamedRule kRules[] = {
    {"gpt-2", {PreTokenizer::kGpt2}},
    {"phi-2", {PreTokenizer::kGpt2}},
    {"llama-bpe", kLlama3Rule},
    {"llama3", kLlama3Rule},
    {"llama-v3", kLlama3Rule},
    {"qwen2", {PreTokenizer::kQwen2}},
    {"deepseek-r1-qwen", {PreTokenizer::kQwen2}},
    {"smollm", {PreTokenizer::kSmolLm}},
    {"dbrx", {PreTokenizer::kLlama3}},
    {"gpt-4o", {PreTokenizer::kGpt4o}},
    {"tekken", {PreTokenizer::kTekken, true, true}},
};

// The character at an offset; at the end of the text its length is 0 and it is of no class.
struct Char {
  size_t length = 0;
  uint32_t code_point = 0xFFFFFFFF;
  CharClass kind = CharClass::kOther;
  bool capital = false, small = false;  // of CharProperties

  bool is_end() const { return length == 0; }
  bool is_letter() const { return kind == CharClass::kLetter; }
  bool is_number() const { return kind == CharClass::kNumber; }
  bool is_space() const { return kind == CharClass::kSpace; }
  bool is_symbol() const { return kind == CharClass::kOther && !is_end(); }
  bool is_newline() const { return code_point == '\r' || code_point == '\n'; }
  bool is_mark() const { return is_symbol() && capital; }
};

Char char_at(std::string_view text, size_t at) {
  if (at >= text.size()) return {};
  uint32_t code_point = 0;
  const int length = utf8_decode(text.substr(at), &code_point);
  if (length == 0) return {1};
  const CharProperties properties = char_properties(code_point);
  return {static_cast<size_t>(length), code_point, properties.kind, properties.capital,
          properties.small};
}

// The end of the run of characters from `at` that satisfy `belongs`.
template <typename Belongs>
size_t run_end(std::string_view text, size_t at, Belongs belongs) {
  for (Char c = char_at(text, at); !c.is_end() && belongs(c); c = char_at(text, at)) at += c.length;
  return at;
}

size_t class_end(std::string_view text, size_t at, CharClass kind) {
  return run_end(text, at, [&](const Char& c) { return c.kind == kind; });
}

// Bytes of 's 't 're 've 'm 'll 'd at the start of the text, or 0. Where case is ignored, U+017F is
// an s as well: it folds to one.
size_t contraction(std::string_view text, bool ignore_case) {
  if (text.empty() || text[0] != '\'') return 0;
  const auto letter = [&](size_t i) {
    const char c = i < text.size() ? text[i] : '\0';
    return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  switch (letter(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return letter(2) == 'e' ? 3 : 0;
    case 'l':
      return letter(2) == 'l' ? 3 : 0;
    default:
      return ignore_case && text.substr(1, 2) == "\xC5\xBF" ? 3 : 0;
  }
}

// \s+(?!\S)|\s+ for a run of white space: all of it at the end of the text, else all but its last
// character, which may belong to the next word.
size_t space_end(std::string_view text, size_t at) {
  size_t last = at;
  const size_t end = run_end(text, at, [&, next = at](const Char& c) mutable {
    if (!c.is_space()) return false;
    last = next;
    next += c.length;
    return true;
  });
  return end == text.size() || last == at ? end : last;
}

size_t gpt2_word(std::string_view text, size_t at) {
  if (const size_t length = contraction(text.substr(at), false)) return at + length;
  const Char first = char_at(text, at);
  const Char second = char_at(text, at + 1);
  if (first.code_point == ' ' && !second.is_end() && !second.is_space()) {
    return class_end(text, at + 1, second.kind);
  }
  if (!first.is_space()) return class_end(text, at, first.kind);
  return space_end(text, at);
}

// As gpt2_word, but each number is cut out first: to all else, the text ends before it.
size_t smollm_word(std::string_view text, size_t at) {
  const Char first = char_at(text, at);
  if (first.is_number()) return at + first.length;
  if (!first.is_space()) return gpt2_word(text, at);
  const size_t spaces = class_end(text, at, CharClass::kSpace);
  return char_at(text, spaces).is_number() ? spaces : gpt2_word(text, at);
}

// [^\r\n\p{L}\p{N}]?\p{L}+, or 0 where none begins at `at`.
size_t plain_word(std::string_view text, size_t at) {
  const Char first = char_at(text, at);
  const bool before = !first.is_letter() && !first.is_number() && !first.is_newline();
  const size_t start = before ? at + first.length : at;
  const size_t end = class_end(text, start, CharClass::kLetter);
  return end > start ? end : 0;
}

// [^\r\n\p{L}\p{N}]?C*S+, else [^\r\n\p{L}\p{N}]?C+S*, or 0; C and S are what may stand in the
// capital and the small part of a word. What has no case is of both, and C* gives back what S+
// needs.
size_t cased_word(std::string_view text, size_t at) {
  const Char first = char_at(text, at);
  if (first.is_number() || first.is_newline()) return 0;
  const size_t start = first.is_letter() ? at : at + first.length;
  size_t caseless_end = 0;  // of the last character in C that is in S too
  const size_t capital_end = run_end(text, start, [&, next = start](const Char& c) mutable {
    next += c.length;
    if (c.capital && c.small) caseless_end = next;
    return c.capital;
  });
  const size_t end = run_end(text, capital_end, [](const Char& c) { return c.small; });
  if (end > capital_end) return end;
  if (caseless_end > 0) return caseless_end;
  if (first.is_mark()) return start;  // it is the word, not what stands before one
  return capital_end > start ? capital_end : 0;
}

// \p{N}{1,numbers_max}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ where no word begins;
// with `slashes`, [\r\n/]* follows the symbols.
size_t not_a_word(std::string_view text, size_t at, int numbers_max, bool slashes) {
  const Char first = char_at(text, at);
  if (first.is_number()) {
    return run_end(text, at, [&](const Char& c) { return c.is_number() && numbers_max-- > 0; });
  }
  const size_t after = at + first.length;
  if (first.is_symbol() || (first.code_point == ' ' && char_at(text, after).is_symbol())) {
    const size_t end = class_end(text, after, CharClass::kOther);
    return run_end(text, end, [&](const Char& c) {
      return c.is_newline() || (slashes && c.code_point == '/');
    });
  }
  // \s*[\r\n]+ ends after the last line break of the white space.
  size_t line_end = 0;
  run_end(text, at, [&, next = at](const Char& c) mutable {
    next += c.length;
    if (c.is_newline()) line_end = next;
    return c.is_space();
  });
  return line_end > 0 ? line_end : space_end(text, at);
}

size_t llama3_word(std::string_view text, size_t at, int numbers_max) {
  if (const size_t length = contraction(text.substr(at), true)) return at + length;
  if (const size_t end = plain_word(text, at)) return end;
  return not_a_word(text, at, numbers_max, false);
}

}  // namespace

Result<PreTokenizerRule> find_pre_tokenizer(std::string_view name) {
  std::string known;
  for (const NamedRule& rule : kRules) {
    if (rule.name == name) return rule.rule;
    known += concat(known.empty() ? "" : ", ", rule.name);
  }
  return Error{ErrorCode::kData, concat("key 'tokenizer.ggml.pre': ", quoted(name),
                                        " is not known; the known ones are ", known)};
}

size_t next_word(PreTokenizer kind, std::string_view text, size_t at) {
  switch (kind) {
    case PreTokenizer::kGpt2:
      return gpt2_word(text, at);
    case PreTokenizer::kSmolLm:
      return smollm_word(text, at);
    case PreTokenizer::kLlama3:
      return llama3_word(text, at, 3);
    case PreTokenizer::kQwen2:
      return llama3_word(text, at, 1);
    case PreTokenizer::kGpt4o:
      if (const size_t end = cased_word(text, at)) {
        return end + contraction(text.substr(end), true);
      }
      return not_a_word(text, at, 3, true);
    case PreTokenizer::kTekken:
      if (const size_t end = cased_word(text, at)) return end;
      return not_a_word(text, at, 1, true);
  }
  return text.size();
}

}  // namespace nibble
