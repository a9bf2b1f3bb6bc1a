// Runs a syntax tree. Read next: jinja_builtins.h.
#pragma once

#include <ctime>
#include <string>

#include "runtime/text/jinja_ast.h"
#include "runtime/text/jinja_builtins.h"

namespace nibble::jinja {

// One render. Errors are thrown as Failure; line() is where it happened.
class Interpreter {
 public:
  Interpreter(Heap& heap, const std::tm& now) : heap_(heap), now_(now), output_(heap) {}

  std::string run(const Program& program, const Dict& globals);
  int line() const { return line_; }

 private:
  enum class Flow { kNext, kBreak, kContinue };

  Flow execute(const Block& block, Scope* scope);
  Flow execute(const Stmt& stmt, Scope* scope);
  Flow execute_if(const Stmt& stmt, Scope* scope);
  Flow execute_for(const Stmt& stmt, Scope* scope);
  // The output of a body instead of its effect on the template's.
  Value capture(const Block& body, Scope* scope);
  void assign(const Expr& target, const Value& value, Scope* scope);
  const Callable* make_macro(const Macro& macro, Scope* scope);

  Value evaluate(const Expr& expr, Scope* scope);
  Value evaluate_name(const Expr& expr, const Scope* scope);
  Value evaluate_collection(const Expr& expr, Scope* scope);
  Value evaluate_slice(const Expr& expr, Scope* scope);
  Value evaluate_call(const Expr& expr, Scope* scope, const Callable* caller);
  Value apply_filter(const Expr& expr, const Value& input, Scope* scope);
  // A chain of filters whose innermost has no input of its own (set and filter blocks).
  Value apply_filters(const Expr& expr, const Value& input, Scope* scope);
  Value evaluate_compare(const Expr& expr, Scope* scope);
  Value call_macro(const Callable& callee, const Arguments& arguments, const Callable* caller);
  Arguments evaluate_arguments(const Expr& expr, Scope* scope);

  Heap& heap_;
  const std::tm& now_;
  TextBuilder output_;
  int line_ = 0;
};

// a op b of numbers, texts and lists.
Value arithmetic(Heap& heap, Op op, const Value& a, const Value& b);

}  // namespace nibble::jinja
