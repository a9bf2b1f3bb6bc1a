#include "runtime/text/jinja_interpreter.h"

namespace nibble::jinja {

std::string Interpreter::run(const Program& program, const Dict& globals) {
  Scope* scope = heap_.scope(nullptr);
  for (const auto& [key, value] : globals.items) {
    heap_.set(scope, std::get<std::string_view>(key), value);
  }
  execute(program.body, scope);
  return output_.release();
}

Interpreter::Flow Interpreter::execute(const Block& block, Scope* scope) {
  const DepthGuard guard(heap_);
  for (const Stmt& stmt : block) {
    heap_.step();
    line_ = stmt.line;
    const Flow flow = execute(stmt, scope);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute(const Stmt& stmt, Scope* scope) {
  switch (stmt.kind) {
    case StmtKind::kText:
      output_.append(stmt.name);
      break;
    case StmtKind::kOutput:
      append_text(heap_, &output_, evaluate(*stmt.value, scope));
      break;
    case StmtKind::kIf:
      return execute_if(stmt, scope);
    case StmtKind::kFor:
      return execute_for(stmt, scope);
    case StmtKind::kSet:
      assign(*stmt.target, evaluate(*stmt.value, scope), scope);
      break;
    case StmtKind::kSetBlock: {
      Value text = capture(stmt.body, heap_.scope(scope));
      if (stmt.value != nullptr) text = apply_filters(*stmt.value, text, scope);
      assign(*stmt.target, text, scope);
      break;
    }
    case StmtKind::kMacro:
      heap_.set(scope, stmt.macro->name, make_macro(*stmt.macro, scope));
      break;
    case StmtKind::kCallBlock:
      append_text(heap_, &output_,
                  evaluate_call(*stmt.value, scope, make_macro(*stmt.macro, scope)));
      break;
    case StmtKind::kFilterBlock:
      append_text(heap_, &output_,
                  apply_filters(*stmt.value, capture(stmt.body, heap_.scope(scope)), scope));
      break;
    case StmtKind::kScope:
      return execute(stmt.body, heap_.scope(scope));
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute_if(const Stmt& stmt, Scope* scope) {
  for (const Branch& branch : stmt.branches) {
    if (branch.condition == nullptr || truthy(evaluate(*branch.condition, scope))) {
      return execute(branch.body, scope);
    }
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute_for(const Stmt& stmt, Scope* scope) {
  const List* items = iterate(heap_, evaluate(*stmt.value, scope));
  Scope* inner = heap_.scope(scope);
  if (stmt.condition != nullptr) {
    List* kept = heap_.list();
    for (const Value& item : items->items) {
      assign(*stmt.target, item, inner);
      if (truthy(evaluate(*stmt.condition, inner))) heap_.append(kept, item);
    }
    items = kept;
  }
  if (items->items.empty()) return execute(stmt.other, scope);
  Loop* loop = heap_.loop();
  loop->items = items;
  for (size_t i = 0; i < items->items.size(); ++i) {
    heap_.step();
    loop->index0 = static_cast<int64_t>(i);
    inner->variables.clear();
    assign(*stmt.target, items->items[i], inner);
    heap_.set(inner, "loop", loop);
    if (execute(stmt.body, inner) == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Value Interpreter::capture(const Block& body, Scope* scope) {
  TextBuilder outer = std::exchange(output_, TextBuilder(heap_));
  execute(body, scope);
  const std::string_view text = output_.finish();
  output_ = std::move(outer);
  return text;
}

void Interpreter::assign(const Expr& target, const Value& value, Scope* scope) {
  if (target.kind == ExprKind::kName) return heap_.set(scope, target.name, value);
  if (target.kind == ExprKind::kAttribute) {
    const Value object = evaluate(*target.children[0], scope);
    if (!is<Namespace*>(object)) {
      fail({"only a namespace's attributes can be set, not '", target.name, "' of a value of type ",
            type_name(object)});
    }
    return heap_.set(&std::get<Namespace*>(object)->attributes, target.name, value);
  }
  const List* items = iterate(heap_, value);
  if (items->items.size() != target.children.size()) {
    fail({"cannot take ", std::to_string(target.children.size()), " variables from ",
          std::to_string(items->items.size()), " values"});
  }
  for (size_t i = 0; i < items->items.size(); ++i) {
    assign(*target.children[i], items->items[i], scope);
  }
}

const Callable* Interpreter::make_macro(const Macro& macro, Scope* scope) {
  Callable* callable = heap_.callable();
  callable->name = macro.name;
  callable->macro = &macro;
  callable->closure = scope;
  return callable;
}

Value Interpreter::evaluate(const Expr& expr, Scope* scope) {
  const DepthGuard guard(heap_);
  heap_.step();
  const auto child = [&](size_t i) { return evaluate(*expr.children[i], scope); };
  switch (expr.kind) {
    case ExprKind::kLiteral:
      return expr.literal;
    case ExprKind::kName:
      return evaluate_name(expr, scope);
    case ExprKind::kList:
    case ExprKind::kTuple:
    case ExprKind::kDict:
      return evaluate_collection(expr, scope);
    case ExprKind::kAttribute:
      return get_attribute(heap_, child(0), expr.name);
    case ExprKind::kItem: {
      const Value object = child(0);
      return get_item(heap_, object, child(1));
    }
    case ExprKind::kSlice:
      return evaluate_slice(expr, scope);
    case ExprKind::kCall:
      return evaluate_call(expr, scope, nullptr);
    case ExprKind::kFilter: {
      const Value input = child(0);
      return apply_filter(expr, input, scope);
    }
    case ExprKind::kTest: {
      const Value input = child(0);
      if (expr.test == nullptr) fail({"no test named '", expr.name, "'"});
      return expr.test(heap_, input, evaluate_arguments(expr, scope));
    }
    case ExprKind::kNot:
      return !truthy(child(0));
    case ExprKind::kNegate:
      return arithmetic(heap_, Op::kSubtract, int64_t{0}, child(0));
    case ExprKind::kPositive:
      return arithmetic(heap_, Op::kAdd, int64_t{0}, child(0));
    case ExprKind::kArithmetic: {
      const Value left = child(0);
      return arithmetic(heap_, expr.op, left, child(1));
    }
    case ExprKind::kCompare:
      return evaluate_compare(expr, scope);
    case ExprKind::kAnd: {
      const Value left = child(0);
      return truthy(left) ? child(1) : left;
    }
    case ExprKind::kOr: {
      const Value left = child(0);
      return truthy(left) ? left : child(1);
    }
    case ExprKind::kConcat: {
      TextBuilder out(heap_);
      for (size_t i = 0; i < expr.children.size(); ++i) append_text(heap_, &out, child(i));
      return out.finish();
    }
    case ExprKind::kConditional:
      if (truthy(child(1))) return child(0);
      return expr.children[2] != nullptr ? child(2) : Value(Undefined{"value of 'if'"});
  }
  return Undefined{};
}

Value Interpreter::evaluate_name(const Expr& expr, const Scope* scope) {
  for (const Scope* at = scope; at != nullptr; at = at->parent) {
    for (const Variable& variable : at->variables) {
      if (variable.name == expr.name) return variable.value;
    }
    heap_.step(1 + at->variables.size() / 16);
  }
  if (!has_function(expr.name)) return Undefined{expr.name};
  Callable* function = heap_.callable();
  function->name = expr.name;
  return function;
}

Value Interpreter::evaluate_collection(const Expr& expr, Scope* scope) {
  if (expr.kind == ExprKind::kDict) {
    Dict* dict = heap_.dict();
    for (size_t i = 0; i < expr.children.size(); i += 2) {
      const Value key = evaluate(*expr.children[i], scope);
      heap_.set(dict, key, evaluate(*expr.children[i + 1], scope));
    }
    return dict;
  }
  List* list = heap_.list(expr.kind == ExprKind::kTuple);
  for (const ExprPtr& item : expr.children) heap_.append(list, evaluate(*item, scope));
  return list;
}

Value Interpreter::evaluate_slice(const Expr& expr, Scope* scope) {
  Value parts[4];
  for (size_t i = 0; i < 4; ++i) {
    if (expr.children[i] != nullptr) parts[i] = evaluate(*expr.children[i], scope);
  }
  return slice(heap_, parts[0], parts[1], parts[2], parts[3]);
}

Arguments Interpreter::evaluate_arguments(const Expr& expr, Scope* scope) {
  Arguments arguments;
  for (const Argument& argument : expr.arguments) {
    const Value value = evaluate(*argument.value, scope);
    if (argument.name.empty()) {
      arguments.positional.push_back(value);
    } else {
      arguments.named.emplace_back(argument.name, value);
    }
  }
  return arguments;
}

Value Interpreter::evaluate_call(const Expr& expr, Scope* scope, const Callable* caller) {
  const Value callee = evaluate(*expr.children[0], scope);
  const Arguments arguments = evaluate_arguments(expr, scope);
  const int line = std::exchange(line_, expr.line);
  if (!is<const Callable*>(callee)) {
    const auto* undefined = std::get_if<Undefined>(&callee);
    if (undefined == nullptr) {
      fail({"a value of type ", type_name(callee), " cannot be called"});
    }
    fail({"'", undefined->name, "' is undefined and cannot be called"});
  }
  const Callable& callable = *std::get<const Callable*>(callee);
  Value result;
  if (callable.macro != nullptr) {
    result = call_macro(callable, arguments, caller);
  } else if (is<Undefined>(callable.receiver)) {
    result = call_function(heap_, callable.name, arguments, now_);
  } else {
    result = call_method(heap_, callable.receiver, callable.name, arguments);
  }
  line_ = line;
  return result;
}

Value Interpreter::call_macro(const Callable& callee, const Arguments& arguments,
                              const Callable* caller) {
  const Macro& macro = *callee.macro;
  if (arguments.positional.size() > macro.parameters.size()) {
    fail({"macro '", macro.name, "' takes at most ", std::to_string(macro.parameters.size()),
          " arguments"});
  }
  for (const auto& [name, value] : arguments.named) {
    bool known = false;
    for (const Parameter& parameter : macro.parameters) known |= parameter.name == name;
    if (!known) {
      fail({"macro '", macro.name, "' has no parameter '", name, "'"});
    }
  }
  Scope* scope = heap_.scope(callee.closure);
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    Value value = Undefined{parameter.name};
    if (const Value* given = arguments.find(i, parameter.name)) {
      value = *given;
    } else if (parameter.fallback != nullptr) {
      value = evaluate(*parameter.fallback, scope);
    }
    heap_.set(scope, parameter.name, value);
  }
  if (caller != nullptr) heap_.set(scope, "caller", caller);
  return capture(macro.body, scope);
}

Value Interpreter::apply_filter(const Expr& expr, const Value& input, Scope* scope) {
  if (expr.filter == nullptr) fail({"no filter named '", expr.name, "'"});
  return expr.filter(heap_, input, evaluate_arguments(expr, scope));
}

Value Interpreter::apply_filters(const Expr& expr, const Value& input, Scope* scope) {
  const DepthGuard guard(heap_);
  const bool innermost = expr.children[0] == nullptr;
  return apply_filter(expr, innermost ? input : apply_filters(*expr.children[0], input, scope),
                      scope);
}

Value Interpreter::evaluate_compare(const Expr& expr, Scope* scope) {
  Value left = evaluate(*expr.children[0], scope);
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    const Value right = evaluate(*expr.children[i + 1], scope);
    bool holds = false;
    switch (expr.operators[i]) {
      case Op::kEqual:
        holds = equal(heap_, left, right);
        break;
      case Op::kNotEqual:
        holds = !equal(heap_, left, right);
        break;
      case Op::kIn:
        holds = contains(heap_, right, left);
        break;
      case Op::kNotIn:
        holds = !contains(heap_, right, left);
        break;
      case Op::kLess:
        holds = compare(heap_, left, right) < 0;
        break;
      case Op::kLessEqual:
        holds = compare(heap_, left, right) <= 0;
        break;
      case Op::kGreater:
        holds = compare(heap_, left, right) > 0;
        break;
      default:
        holds = compare(heap_, left, right) >= 0;
    }
    if (!holds) return false;
    left = right;
  }
  return true;
}

}  // namespace nibble::jinja
