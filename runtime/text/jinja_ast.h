// The syntax tree of a template. Views point into the program's own source and strings.
// Read next: jinja_parser.h (makes it), jinja_interpreter.h (runs it).
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/jinja_builtins.h"

namespace nibble::jinja {

enum class ExprKind {
  kLiteral,      // literal
  kName,         // name
  kList,         // children
  kTuple,        // children
  kDict,         // children: key, value, key, value ...
  kAttribute,    // children[0].name
  kItem,         // children[0][children[1]]
  kSlice,        // children[0][children[1]:children[2]:children[3]], null where left out
  kCall,         // children[0](arguments)
  kFilter,       // children[0]|filter(arguments); children[0] is null in a filter block
  kTest,         // children[0] is test(arguments)
  kNot,          // not children[0]
  kNegate,       // -children[0]
  kPositive,     // +children[0]
  kArithmetic,   // children[0] op children[1]
  kCompare,      // children[0] operators[0] children[1] operators[1] children[2] ...
  kAnd,          // children[0] and children[1]
  kOr,           // children[0] or children[1]
  kConcat,       // children[0] ~ children[1] ~ ...
  kConditional,  // children[0] if children[1] else children[2]; [2] may be null
};

enum class Op {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Argument {
  std::string_view name;  // empty: by position
  ExprPtr value;
};

struct Expr {
  ExprKind kind = ExprKind::kLiteral;
  int line = 0;
  int depth = 1;  // levels below and including this one
  Op op = Op::kAdd;
  std::string_view name;
  Filter filter = nullptr;  // of kFilter; null when there is none of this name, which is
  Test test = nullptr;      // of kTest; an error only where it is used
  Value literal;
  std::vector<ExprPtr> children;
  std::vector<Argument> arguments;
  std::vector<Op> operators;
};

enum class StmtKind {
  kText,         // name
  kOutput,       // value
  kIf,           // branches; the last may have no condition
  kFor,          // for target in value if condition: body, else: other
  kSet,          // target = value
  kSetBlock,     // target = body, through value (filters) if there is one
  kMacro,        // macro
  kCallBlock,    // value (a call) with macro as its caller
  kFilterBlock,  // body through value (filters)
  kScope,        // body with variables of its own (generation)
  kBreak,
  kContinue,
};

struct Stmt;
using Block = std::vector<Stmt>;

struct Branch {
  ExprPtr condition;
  Block body;
};

struct Parameter {
  std::string_view name;
  ExprPtr fallback;  // null: none
};

struct Macro {
  std::string_view name;
  std::vector<Parameter> parameters;
  Block body;
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 0;
  std::string_view name;
  ExprPtr target;  // a name, a tuple of names or an attribute of a name
  ExprPtr value;
  ExprPtr condition;
  Block body;
  Block other;
  std::vector<Branch> branches;
  std::unique_ptr<Macro> macro;
};

struct Program {
  std::string source;
  std::deque<std::string> strings;
  Block body;
};

}  // namespace nibble::jinja
