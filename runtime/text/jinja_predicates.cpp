// The tests after `is`.
#include <algorithm>
#include <iterator>

#include "runtime/text/jinja_builtins.h"

namespace nibble::jinja {
namespace {

using Args = const Arguments&;

Value operand(Args arguments) {
  return arguments.require(0, "other");
}

bool is_text_of(const Value& value, bool upper) {
  const std::string_view text = expect_text(value, "tested value");
  bool cased = false;
  for (const char c : text) {
    const bool is_upper = c >= 'A' && c <= 'Z';
    const bool is_lower = c >= 'a' && c <= 'z';
    if (upper ? is_lower : is_upper) return false;
    cased |= is_upper || is_lower;
  }
  return cased;
}

int64_t modulo(const Value& value, int64_t divisor) {
  if (divisor == 0) fail({"division by zero"});
  if (divisor == -1) return 0;
  return to_int(value, "tested value") % divisor;
}

bool test_boolean(Heap&, const Value& v, Args) {
  return is<bool>(v);
}
bool test_callable(Heap&, const Value& v, Args) {
  return is<const Callable*>(v);
}
bool test_defined(Heap&, const Value& v, Args) {
  return !is<Undefined>(v);
}
bool test_divisibleby(Heap&, const Value& v, Args a) {
  return modulo(v, to_int(a.require(0, "num"), "divisor")) == 0;
}
bool test_equal(Heap& heap, const Value& v, Args a) {
  return equal(heap, v, operand(a));
}
bool test_even(Heap&, const Value& v, Args) {
  return modulo(v, 2) == 0;
}
bool test_false(Heap&, const Value& v, Args) {
  return is<bool>(v) && !std::get<bool>(v);
}
bool test_float(Heap&, const Value& v, Args) {
  return is<double>(v);
}
bool test_greater(Heap& heap, const Value& v, Args a) {
  return compare(heap, v, operand(a)) > 0;
}
bool test_greater_equal(Heap& heap, const Value& v, Args a) {
  return compare(heap, v, operand(a)) >= 0;
}
bool test_in(Heap& heap, const Value& v, Args a) {
  return contains(heap, a.require(0, "seq"), v);
}
bool test_integer(Heap&, const Value& v, Args) {
  return is<int64_t>(v);
}
bool test_sequence(Heap&, const Value& v, Args) {
  return is<std::string_view>(v) || is<const List*>(v) || is<const Dict*>(v) || is<Undefined>(v);
}
bool test_less(Heap& heap, const Value& v, Args a) {
  return compare(heap, v, operand(a)) < 0;
}
bool test_less_equal(Heap& heap, const Value& v, Args a) {
  return compare(heap, v, operand(a)) <= 0;
}
bool test_lower(Heap&, const Value& v, Args) {
  return is_text_of(v, false);
}
bool test_mapping(Heap&, const Value& v, Args) {
  return is<const Dict*>(v);
}
bool test_none(Heap&, const Value& v, Args) {
  return is<None>(v);
}
bool test_not_equal(Heap& heap, const Value& v, Args a) {
  return !equal(heap, v, operand(a));
}
bool test_number(Heap&, const Value& v, Args) {
  return as_number(v).has_value();
}
bool test_odd(Heap&, const Value& v, Args) {
  return modulo(v, 2) != 0;
}
bool test_string(Heap&, const Value& v, Args) {
  return is<std::string_view>(v);
}
bool test_true(Heap&, const Value& v, Args) {
  return is<bool>(v) && std::get<bool>(v);
}
bool test_undefined(Heap&, const Value& v, Args) {
  return is<Undefined>(v);
}
bool test_upper(Heap&, const Value& v, Args) {
  return is_text_of(v, true);
}

struct Entry {
  std::string_view name;
  Test test;
};

constexpr Entry kTests[] = {
    {"boolean", test_boolean},
    {"callable", test_callable},
    {"defined", test_defined},
    {"divisibleby", test_divisibleby},
    {"eq", test_equal},
    {"equalto", test_equal},
    {"even", test_even},
    {"false", test_false},
    {"float", test_float},
    {"ge", test_greater_equal},
    {"greaterthan", test_greater},
    {"gt", test_greater},
    {"in", test_in},
    {"integer", test_integer},
    {"iterable", test_sequence},
    {"le", test_less_equal},
    {"lessthan", test_less},
    {"lower", test_lower},
    {"lt", test_less},
    {"mapping", test_mapping},
    {"ne", test_not_equal},
    {"none", test_none},
    {"number", test_number},
    {"odd", test_odd},
    {"sequence", test_sequence},
    {"string", test_string},
    {"true", test_true},
    {"undefined", test_undefined},
    {"upper", test_upper},
};

}  // namespace

Test find_test(std::string_view name) {
  // select() and its like also take the signs.
  if (name == "==") return test_equal;
  if (name == "!=") return test_not_equal;
  if (name == "<") return test_less;
  if (name == "<=") return test_less_equal;
  if (name == ">") return test_greater;
  if (name == ">=") return test_greater_equal;
  const Entry* entry = std::find_if(std::begin(kTests), std::end(kTests),
                                    [&](const Entry& e) { return e.name == name; });
  return entry != std::end(kTests) ? entry->test : nullptr;
}

}  // namespace nibble::jinja
