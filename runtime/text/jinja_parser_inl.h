// The parser's two halves: expressions here, statements (jinja_parser.cpp) on top of them.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/text/jinja_ast.h"
#include "runtime/text/jinja_lexer.h"

namespace nibble::jinja {

// Each function takes the tokens of its part and returns its tree; errors are thrown as Failure.
class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, std::deque<std::string>* strings,
                   const Limits& limits)
      : tokens_(std::move(tokens)), strings_(strings), limits_(limits) {}

 protected:
  // One level of recursion.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser* parser) : parser_(parser) {
      if (++parser_->depth_ > parser_->limits_.depth) parser_->too_deep();
    }
    ~Nesting() { --parser_->depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ExpressionParser* parser_;
  };

  [[noreturn]] void error(Parts parts) const {
    fail({"line ", std::to_string(current().line), ": ", concatenate(parts)});
  }
  [[noreturn]] void unexpected(Parts wanted) const;
  [[noreturn]] void too_deep() const {
    error({"nesting deeper than ", std::to_string(limits_.depth), " levels"});
  }

  const Token& current() const { return tokens_[position_]; }
  // The last token is kEnd and stays current.
  const Token& advance() {
    const Token& token = tokens_[position_];
    if (position_ + 1 < tokens_.size()) ++position_;
    return token;
  }
  bool at_operator(std::string_view text) const {
    return current().kind == TokenKind::kOperator && current().text == text;
  }
  bool at_name(std::string_view text) const {
    return current().kind == TokenKind::kName && current().text == text;
  }
  const Token& next() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  bool next_is_name(std::string_view text) const {
    return next().kind == TokenKind::kName && next().text == text;
  }
  bool next_is_operator(std::string_view text) const {
    return next().kind == TokenKind::kOperator && next().text == text;
  }
  bool skip_operator(std::string_view text) {
    if (!at_operator(text)) return false;
    advance();
    return true;
  }
  bool skip_name(std::string_view text) {
    if (!at_name(text)) return false;
    advance();
    return true;
  }
  void expect_operator(std::string_view text) {
    if (!skip_operator(text)) unexpected({"'", text, "'"});
  }
  std::string_view expect_name() {
    if (current().kind != TokenKind::kName) unexpected({"a name"});
    return advance().text;
  }

  ExprPtr expression(bool conditional = true);
  // a, b, c or a single expression.
  ExprPtr tuple(bool conditional, bool explicit_parentheses = false);
  ExprPtr postfix(ExprPtr expr);
  ExprPtr filter(ExprPtr input);

  ExprPtr make(ExprKind kind, std::vector<ExprPtr> children);
  ExprPtr name_expr(std::string_view name);
  ExprPtr unary(ExprKind kind, ExprPtr operand);

 private:
  ExprPtr disjunction();
  ExprPtr conjunction();
  ExprPtr negation();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr signed_value(bool with_filters);
  ExprPtr primary();
  ExprPtr string();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr attribute(ExprPtr object);
  ExprPtr subscript(ExprPtr object);
  ExprPtr call(ExprPtr callee);
  std::vector<Argument> arguments();
  ExprPtr filters_and_tests(ExprPtr expr);
  ExprPtr test(ExprPtr input);
  ExprPtr binary(ExprKind kind, ExprPtr left, ExprPtr right);
  ExprPtr literal(Value value);
  void measure(Expr* expr);
  bool at_tuple_end() const;

  std::vector<Token> tokens_;
  std::deque<std::string>* strings_;
  const Limits& limits_;
  size_t position_ = 0;
  int depth_ = 0;
};

}  // namespace nibble::jinja
