#include "runtime/text/jinja_parser.h"

#include <algorithm>
#include <initializer_list>

#include "runtime/text/jinja_parser_inl.h"

namespace nibble::jinja {

void ExpressionParser::unexpected(Parts wanted) const {
  std::string found;
  switch (current().kind) {
    case TokenKind::kEnd:
      found = "the end of the template";
      break;
    case TokenKind::kOutputEnd:
    case TokenKind::kBlockEnd:
      found = "the end of the tag";
      break;
    default:
      found = concatenate({"'", current().text.substr(0, 40), "'"});
  }
  error({"expected ", concatenate(wanted), ", found ", found});
}

namespace {

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Block program() {
    Block body = block({});
    if (current().kind != TokenKind::kEnd) unexpected({"the end of the template"});
    return body;
  }

 private:
  // Statements up to a tag that begins with one of `ends` (taken up to that name), or to the end.
  Block block(std::initializer_list<std::string_view> ends) {
    const Nesting nesting(this);
    Block body;
    for (;;) {
      const Token& token = current();
      if (token.kind == TokenKind::kEnd) {
        if (ends.size() != 0) unexpected({"'{% ", *(ends.end() - 1), " %}'"});
        return body;
      }
      if (token.kind == TokenKind::kText) {
        body.push_back(make_stmt(StmtKind::kText));
        body.back().name = advance().text;
      } else if (token.kind == TokenKind::kOutputBegin) {
        advance();
        body.push_back(make_stmt(StmtKind::kOutput));
        body.back().value = tuple(true);
        expect_end(TokenKind::kOutputEnd);
      } else {
        advance();  // kBlockBegin
        if (std::any_of(ends.begin(), ends.end(), [&](auto end) { return at_name(end); })) {
          return body;
        }
        body.push_back(statement());
      }
    }
  }

  Stmt make_stmt(StmtKind kind) const {
    Stmt stmt;
    stmt.kind = kind;
    stmt.line = current().line;
    return stmt;
  }
  void expect_end(TokenKind kind) {
    if (current().kind != kind) unexpected({"the end of the tag"});
    advance();
  }
  // A body and the tag that ends it.
  Block body_until(std::string_view end) {
    expect_end(TokenKind::kBlockEnd);
    Block body = block({end});
    advance();
    skip_label(end);
    expect_end(TokenKind::kBlockEnd);
    return body;
  }
  void skip_label(std::string_view end) {
    if (end == "endmacro" && current().kind == TokenKind::kName) advance();  // endmacro NAME
  }

  Stmt statement() {
    if (skip_name("if")) return if_statement();
    if (skip_name("for")) return for_statement();
    if (skip_name("set")) return set_statement();
    if (skip_name("macro")) return macro_statement();
    if (skip_name("call")) return call_block();
    if (skip_name("filter")) return filter_block();
    if (skip_name("generation")) {
      Stmt stmt = make_stmt(StmtKind::kScope);
      stmt.body = body_until("endgeneration");
      return stmt;
    }
    if (at_name("break") || at_name("continue")) {
      Stmt stmt = make_stmt(at_name("break") ? StmtKind::kBreak : StmtKind::kContinue);
      if (loops_ == 0) error({"'", current().text, "' outside of a loop"});
      advance();
      expect_end(TokenKind::kBlockEnd);
      return stmt;
    }
    unexpected({"a statement (if, for, set, macro, call, filter, generation, break, continue)"});
  }

  Stmt if_statement() {
    Stmt stmt = make_stmt(StmtKind::kIf);
    bool more = true;
    bool has_condition = true;
    while (more) {
      Branch branch;
      if (has_condition) branch.condition = tuple(false);
      expect_end(TokenKind::kBlockEnd);
      branch.body = has_condition ? block({"elif", "else", "endif"}) : block({"endif"});
      stmt.branches.push_back(std::move(branch));
      const std::string_view end = advance().text;
      more = end != "endif";
      has_condition = end == "elif";
    }
    expect_end(TokenKind::kBlockEnd);
    return stmt;
  }

  Stmt for_statement() {
    Stmt stmt = make_stmt(StmtKind::kFor);
    stmt.target = target(false);
    if (!skip_name("in")) unexpected({"'in'"});
    stmt.value = tuple(false);
    if (skip_name("if")) stmt.condition = expression();
    if (at_name("recursive")) error({"recursive loops are beyond this subset"});
    expect_end(TokenKind::kBlockEnd);
    ++loops_;
    stmt.body = block({"else", "endfor"});
    --loops_;
    if (advance().text == "else") {
      expect_end(TokenKind::kBlockEnd);
      stmt.other = block({"endfor"});
      advance();
    }
    expect_end(TokenKind::kBlockEnd);
    return stmt;
  }

  // name, (a, b), or with `attributes` also name.attribute.
  ExprPtr target(bool attributes) {
    std::vector<ExprPtr> names;
    const bool parentheses = skip_operator("(");
    bool is_tuple = false;
    do {
      if (is_tuple && current().kind != TokenKind::kName) break;
      ExprPtr name = name_expr(expect_name());
      if (attributes && skip_operator(".")) {
        name = unary(ExprKind::kAttribute, std::move(name));
        name->name = expect_name();
      }
      names.push_back(std::move(name));
      is_tuple |= at_operator(",");
    } while (skip_operator(","));
    if (parentheses) expect_operator(")");
    return is_tuple ? make(ExprKind::kTuple, std::move(names)) : std::move(names[0]);
  }

  Stmt set_statement() {
    Stmt stmt = make_stmt(StmtKind::kSet);
    stmt.target = target(true);
    if (skip_operator("=")) {
      stmt.value = tuple(true);
      expect_end(TokenKind::kBlockEnd);
      return stmt;
    }
    stmt.kind = StmtKind::kSetBlock;
    while (skip_operator("|")) stmt.value = filter(std::move(stmt.value));
    stmt.body = body_until("endset");
    return stmt;
  }

  std::vector<Parameter> parameters() {
    std::vector<Parameter> parameters;
    expect_operator("(");
    while (!skip_operator(")")) {
      Parameter parameter;
      parameter.name = expect_name();
      if (skip_operator("=")) {
        parameter.fallback = expression();
      } else if (!parameters.empty() && parameters.back().fallback != nullptr) {
        unexpected({"a default value"});
      }
      parameters.push_back(std::move(parameter));
      if (!skip_operator(",") && !at_operator(")")) unexpected({"',' or ')'"});
    }
    return parameters;
  }

  // A body that runs elsewhere: a loop around it is not its own.
  Block detached_body(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    Block body = body_until(end);
    loops_ = loops;
    return body;
  }

  Stmt macro_statement() {
    Stmt stmt = make_stmt(StmtKind::kMacro);
    stmt.macro = std::make_unique<Macro>();
    stmt.macro->name = expect_name();
    stmt.macro->parameters = parameters();
    stmt.macro->body = detached_body("endmacro");
    return stmt;
  }

  Stmt call_block() {
    Stmt stmt = make_stmt(StmtKind::kCallBlock);
    stmt.macro = std::make_unique<Macro>();
    stmt.macro->name = "caller";
    if (at_operator("(")) stmt.macro->parameters = parameters();
    stmt.value = expression();
    if (stmt.value->kind != ExprKind::kCall) error({"expected the call of a macro"});
    stmt.macro->body = detached_body("endcall");
    return stmt;
  }

  Stmt filter_block() {
    Stmt stmt = make_stmt(StmtKind::kFilterBlock);
    do {
      stmt.value = filter(std::move(stmt.value));
    } while (skip_operator("|"));
    stmt.body = body_until("endfilter");
    return stmt;
  }

  int loops_ = 0;
};

}  // namespace

std::shared_ptr<const Program> parse_program(std::string_view source, const Limits& limits) {
  if (source.size() > limits.source_bytes) {
    fail({"the template has ", std::to_string(source.size()), " bytes, more than ",
          std::to_string(limits.source_bytes)});
  }
  auto program = std::make_shared<Program>();
  program->source = normalize_source(source);
  Parser parser(tokenize(program->source, &program->strings), &program->strings, limits);
  program->body = parser.program();
  return program;
}

}  // namespace nibble::jinja
