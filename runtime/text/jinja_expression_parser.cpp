#include <algorithm>

#include "runtime/text/jinja_parser_inl.h"

namespace nibble::jinja {
namespace {

bool is_binary(const Token& token, std::initializer_list<std::string_view> operators) {
  return token.kind == TokenKind::kOperator &&
         std::find(operators.begin(), operators.end(), token.text) != operators.end();
}

Op arithmetic_op(std::string_view text) {
  if (text == "+") return Op::kAdd;
  if (text == "-") return Op::kSubtract;
  if (text == "*") return Op::kMultiply;
  if (text == "/") return Op::kDivide;
  if (text == "//") return Op::kFloorDivide;
  if (text == "%") return Op::kModulo;
  return Op::kPower;
}

}  // namespace

ExprPtr ExpressionParser::make(ExprKind kind, std::vector<ExprPtr> children) {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = current().line;
  expr->children = std::move(children);
  measure(expr.get());
  return expr;
}

// Chains like a.b.c ... nest without recursion here, but are evaluated and destroyed recursively.
void ExpressionParser::measure(Expr* expr) {
  const auto include = [&](const ExprPtr& child) {
    if (child != nullptr) expr->depth = std::max(expr->depth, child->depth + 1);
  };
  for (const ExprPtr& child : expr->children) include(child);
  for (const Argument& argument : expr->arguments) include(argument.value);
  if (expr->depth > limits_.depth) too_deep();
}

ExprPtr ExpressionParser::binary(ExprKind kind, ExprPtr left, ExprPtr right) {
  std::vector<ExprPtr> children;
  children.push_back(std::move(left));
  children.push_back(std::move(right));
  return make(kind, std::move(children));
}

ExprPtr ExpressionParser::unary(ExprKind kind, ExprPtr operand) {
  std::vector<ExprPtr> children;
  children.push_back(std::move(operand));
  return make(kind, std::move(children));
}

ExprPtr ExpressionParser::name_expr(std::string_view name) {
  ExprPtr expr = make(ExprKind::kName, {});
  expr->name = name;
  return expr;
}

ExprPtr ExpressionParser::literal(Value value) {
  ExprPtr expr = make(ExprKind::kLiteral, {});
  expr->literal = value;
  return expr;
}

ExprPtr ExpressionParser::expression(bool conditional) {
  const Nesting nesting(this);
  ExprPtr expr = disjunction();
  while (conditional && skip_name("if")) {
    std::vector<ExprPtr> children;
    children.push_back(std::move(expr));
    children.push_back(disjunction());
    children.push_back(skip_name("else") ? expression() : nullptr);
    expr = make(ExprKind::kConditional, std::move(children));
  }
  return expr;
}

ExprPtr ExpressionParser::tuple(bool conditional, bool explicit_parentheses) {
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (!at_tuple_end()) {
    items.push_back(expression(conditional));
    if (!skip_operator(",")) {
      if (!is_tuple) return std::move(items[0]);
      break;
    }
    is_tuple = true;
  }
  if (items.empty() && !explicit_parentheses) unexpected({"an expression"});
  return make(ExprKind::kTuple, std::move(items));
}

bool ExpressionParser::at_tuple_end() const {
  return at_operator(")") || current().kind == TokenKind::kBlockEnd ||
         current().kind == TokenKind::kOutputEnd || at_name("recursive");
}

ExprPtr ExpressionParser::disjunction() {
  ExprPtr expr = conjunction();
  while (skip_name("or")) expr = binary(ExprKind::kOr, std::move(expr), conjunction());
  return expr;
}

ExprPtr ExpressionParser::conjunction() {
  ExprPtr expr = negation();
  while (skip_name("and")) expr = binary(ExprKind::kAnd, std::move(expr), negation());
  return expr;
}

ExprPtr ExpressionParser::negation() {
  if (!skip_name("not")) return comparison();
  const Nesting nesting(this);
  return unary(ExprKind::kNot, negation());
}

ExprPtr ExpressionParser::comparison() {
  std::vector<ExprPtr> children;
  std::vector<Op> operators;
  children.push_back(sum());
  for (;;) {
    if (skip_operator("==")) {
      operators.push_back(Op::kEqual);
    } else if (skip_operator("!=")) {
      operators.push_back(Op::kNotEqual);
    } else if (skip_operator("<=")) {
      operators.push_back(Op::kLessEqual);
    } else if (skip_operator(">=")) {
      operators.push_back(Op::kGreaterEqual);
    } else if (skip_operator("<")) {
      operators.push_back(Op::kLess);
    } else if (skip_operator(">")) {
      operators.push_back(Op::kGreater);
    } else if (skip_name("in")) {
      operators.push_back(Op::kIn);
    } else if (at_name("not") && next_is_name("in")) {
      advance();
      advance();
      operators.push_back(Op::kNotIn);
    } else {
      break;
    }
    children.push_back(sum());
  }
  if (operators.empty()) return std::move(children[0]);
  ExprPtr expr = make(ExprKind::kCompare, std::move(children));
  expr->operators = std::move(operators);
  return expr;
}

ExprPtr ExpressionParser::sum() {
  ExprPtr expr = concatenation();
  while (is_binary(current(), {"+", "-"})) {
    const Op op = arithmetic_op(advance().text);
    expr = binary(ExprKind::kArithmetic, std::move(expr), concatenation());
    expr->op = op;
  }
  return expr;
}

ExprPtr ExpressionParser::concatenation() {
  std::vector<ExprPtr> children;
  do {
    children.push_back(product());
  } while (skip_operator("~"));
  if (children.size() == 1) return std::move(children[0]);
  return make(ExprKind::kConcat, std::move(children));
}

ExprPtr ExpressionParser::product() {
  ExprPtr expr = power();
  while (is_binary(current(), {"*", "/", "//", "%"})) {
    const Op op = arithmetic_op(advance().text);
    expr = binary(ExprKind::kArithmetic, std::move(expr), power());
    expr->op = op;
  }
  return expr;
}

ExprPtr ExpressionParser::power() {
  ExprPtr expr = signed_value(true);
  while (skip_operator("**")) {
    expr = binary(ExprKind::kArithmetic, std::move(expr), signed_value(true));
    expr->op = Op::kPower;
  }
  return expr;
}

ExprPtr ExpressionParser::signed_value(bool with_filters) {
  ExprPtr expr;
  if (at_operator("-") || at_operator("+")) {
    const Nesting nesting(this);
    const ExprKind kind = advance().text == "-" ? ExprKind::kNegate : ExprKind::kPositive;
    expr = unary(kind, signed_value(false));
  } else {
    expr = primary();
  }
  expr = postfix(std::move(expr));
  return with_filters ? filters_and_tests(std::move(expr)) : std::move(expr);
}

ExprPtr ExpressionParser::primary() {
  const Token& token = current();
  if (token.kind == TokenKind::kName) {
    advance();
    if (token.text == "true" || token.text == "True") return literal(true);
    if (token.text == "false" || token.text == "False") return literal(false);
    if (token.text == "none" || token.text == "None") return literal(None{});
    return name_expr(token.text);
  }
  if (token.kind == TokenKind::kString) return string();
  if (token.kind == TokenKind::kInteger) return literal(advance().integer);
  if (token.kind == TokenKind::kFloat) return literal(advance().number);
  if (skip_operator("(")) {
    ExprPtr expr = tuple(true, true);
    expect_operator(")");
    return expr;
  }
  if (skip_operator("[")) return list();
  if (skip_operator("{")) return dict();
  unexpected({"a value"});
}

ExprPtr ExpressionParser::string() {
  std::string_view text = advance().text;
  if (current().kind == TokenKind::kString) {  // 'a' 'b' is 'ab'
    std::string joined(text);
    while (current().kind == TokenKind::kString) joined += advance().text;
    text = strings_->emplace_back(std::move(joined));
  }
  return literal(text);
}

ExprPtr ExpressionParser::list() {
  std::vector<ExprPtr> items;
  while (!skip_operator("]")) {
    items.push_back(expression());
    if (!skip_operator(",") && !at_operator("]")) unexpected({"',' or ']'"});
  }
  return make(ExprKind::kList, std::move(items));
}

ExprPtr ExpressionParser::dict() {
  std::vector<ExprPtr> items;
  while (!skip_operator("}")) {
    items.push_back(expression());
    expect_operator(":");
    items.push_back(expression());
    if (!skip_operator(",") && !at_operator("}")) unexpected({"',' or '}'"});
  }
  return make(ExprKind::kDict, std::move(items));
}

ExprPtr ExpressionParser::postfix(ExprPtr expr) {
  for (;;) {
    if (skip_operator(".")) {
      expr = attribute(std::move(expr));
    } else if (skip_operator("[")) {
      expr = subscript(std::move(expr));
    } else if (at_operator("(")) {
      expr = call(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr ExpressionParser::attribute(ExprPtr object) {
  if (current().kind == TokenKind::kInteger) {
    return binary(ExprKind::kItem, std::move(object), literal(advance().integer));
  }
  ExprPtr expr = unary(ExprKind::kAttribute, std::move(object));
  expr->name = expect_name();
  return expr;
}

ExprPtr ExpressionParser::subscript(ExprPtr object) {
  std::vector<ExprPtr> parts(1);
  parts[0] = std::move(object);
  bool is_slice = false;
  for (;;) {
    parts.push_back(at_operator(":") || at_operator("]") ? nullptr : expression());
    if (parts.size() == 4 || !skip_operator(":")) break;
    is_slice = true;
  }
  expect_operator("]");
  if (!is_slice && parts[1] == nullptr) unexpected({"an index"});
  if (is_slice) parts.resize(4);
  return make(is_slice ? ExprKind::kSlice : ExprKind::kItem, std::move(parts));
}

ExprPtr ExpressionParser::call(ExprPtr callee) {
  ExprPtr expr = unary(ExprKind::kCall, std::move(callee));
  expr->arguments = arguments();
  measure(expr.get());
  return expr;
}

std::vector<Argument> ExpressionParser::arguments() {
  std::vector<Argument> arguments;
  expect_operator("(");
  while (!skip_operator(")")) {
    Argument argument;
    if (current().kind == TokenKind::kName && next_is_operator("=")) {
      argument.name = advance().text;
      advance();
    } else if (!arguments.empty() && !arguments.back().name.empty()) {
      unexpected({"an argument with its name"});
    }
    argument.value = expression();
    arguments.push_back(std::move(argument));
    if (!skip_operator(",") && !at_operator(")")) unexpected({"',' or ')'"});
  }
  return arguments;
}

ExprPtr ExpressionParser::filter(ExprPtr input) {
  ExprPtr expr = unary(ExprKind::kFilter, std::move(input));
  expr->name = expect_name();
  expr->filter = find_filter(expr->name);
  if (at_operator("(")) expr->arguments = arguments();
  measure(expr.get());
  return expr;
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr expr) {
  for (;;) {
    if (skip_operator("|")) {
      expr = filter(std::move(expr));
    } else if (skip_name("is")) {
      expr = test(std::move(expr));
    } else if (at_operator("(")) {
      expr = call(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr ExpressionParser::test(ExprPtr input) {
  const bool negated = skip_name("not");
  ExprPtr expr = unary(ExprKind::kTest, std::move(input));
  expr->name = expect_name();
  expr->test = find_test(expr->name);
  const TokenKind kind = current().kind;
  if (at_operator("(")) {
    expr->arguments = arguments();
  } else if (kind == TokenKind::kString || kind == TokenKind::kInteger ||
             kind == TokenKind::kFloat || at_operator("[") || at_operator("{") ||
             (kind == TokenKind::kName && !at_name("else") && !at_name("or") && !at_name("and") &&
              !at_name("if") && !at_name("is") && !at_name("not") && !at_name("in"))) {
    Argument argument;
    argument.value = postfix(primary());
    expr->arguments.push_back(std::move(argument));
  }
  measure(expr.get());
  return negated ? unary(ExprKind::kNot, std::move(expr)) : std::move(expr);
}

}  // namespace nibble::jinja
