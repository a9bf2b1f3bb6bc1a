// Splits a template into text and tokens, with Jinja's rules for white space around its tags.
// Read next: jinja_parser.h.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace nibble::jinja {

enum class TokenKind {
  kText,         // outside of tags, white space already removed
  kOutputBegin,  // {{
  kOutputEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string_view text;  // of the source; of a string: its value
  int line = 0;
  int64_t integer = 0;
  double number = 0;
};

// Newlines as \n and the last one dropped, as Jinja reads a source.
std::string normalize_source(std::string_view source);

// Tokens of a normalized source, the last is kEnd. Views point into `source` or `strings`. Throws
// Failure.
std::vector<Token> tokenize(std::string_view source, std::deque<std::string>* strings);

}  // namespace nibble::jinja
