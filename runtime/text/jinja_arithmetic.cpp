#include <algorithm>
#include <cmath>

#include "runtime/text/jinja_interpreter.h"

namespace nibble::jinja {
namespace {

[[noreturn]] void overflow() {
  fail({"an integer does not fit 64 bits"});
}

int64_t floor_divide(int64_t a, int64_t b) {
  if (b == 0) fail({"division by zero"});
  if (b == -1) {
    int64_t result;
    if (__builtin_sub_overflow(int64_t{0}, a, &result)) overflow();
    return result;
  }
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (;;) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) overflow();
    exponent >>= 1;
    if (exponent == 0) return result;
    if (__builtin_mul_overflow(base, base, &base)) overflow();
  }
}

Value integers(Op op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool bad = false;
  switch (op) {
    case Op::kAdd:
      bad = __builtin_add_overflow(a, b, &result);
      break;
    case Op::kSubtract:
      bad = __builtin_sub_overflow(a, b, &result);
      break;
    case Op::kMultiply:
      bad = __builtin_mul_overflow(a, b, &result);
      break;
    case Op::kFloorDivide:
      return floor_divide(a, b);
    case Op::kModulo:
      if (b == -1) return int64_t{0};
      return a - floor_divide(a, b) * b;
    case Op::kPower:
      if (b < 0) return std::pow(static_cast<double>(a), static_cast<double>(b));
      return integer_power(a, b);
    default:
      if (b == 0) fail({"division by zero"});
      return static_cast<double>(a) / static_cast<double>(b);
  }
  if (bad) overflow();
  return result;
}

Value floats(Op op, double a, double b) {
  switch (op) {
    case Op::kAdd:
      return a + b;
    case Op::kSubtract:
      return a - b;
    case Op::kMultiply:
      return a * b;
    case Op::kPower:
      return std::pow(a, b);
    default:
      if (b == 0) fail({"division by zero"});
      if (op == Op::kFloorDivide) return std::floor(a / b);
      if (op == Op::kModulo) return a - std::floor(a / b) * b;
      return a / b;
  }
}

Value repeat(Heap& heap, const Value& sequence, int64_t count) {
  count = std::max<int64_t>(count, 0);
  heap.step(static_cast<uint64_t>(count));
  if (const auto* text = std::get_if<std::string_view>(&sequence)) {
    TextBuilder out(heap);
    for (int64_t i = 0; i < count; ++i) out.append(*text);
    return out.finish();
  }
  const List& source = *std::get<const List*>(sequence);
  List* list = heap.list(source.tuple);
  for (int64_t i = 0; i < count; ++i) {
    for (const Value& item : source.items) heap.append(list, item);
  }
  return list;
}

Value joined_lists(Heap& heap, const List& a, const List& b) {
  List* list = heap.list(a.tuple);
  for (const Value& item : a.items) heap.append(list, item);
  for (const Value& item : b.items) heap.append(list, item);
  return list;
}

bool is_sequence(const Value& value) {
  return is<std::string_view>(value) || is<const List*>(value);
}

}  // namespace

Value arithmetic(Heap& heap, Op op, const Value& a, const Value& b) {
  if (as_integer(a) && as_integer(b)) return integers(op, *as_integer(a), *as_integer(b));
  if (as_number(a) && as_number(b)) return floats(op, *as_number(a), *as_number(b));
  if (op == Op::kAdd && is<std::string_view>(a) && is<std::string_view>(b)) {
    TextBuilder out(heap);
    out.append(std::get<std::string_view>(a));
    out.append(std::get<std::string_view>(b));
    return out.finish();
  }
  if (op == Op::kAdd && is<const List*>(a) && is<const List*>(b)) {
    return joined_lists(heap, *std::get<const List*>(a), *std::get<const List*>(b));
  }
  if (op == Op::kMultiply && is_sequence(a) && as_integer(b)) {
    return repeat(heap, a, *as_integer(b));
  }
  if (op == Op::kMultiply && is_sequence(b) && as_integer(a)) {
    return repeat(heap, b, *as_integer(a));
  }
  static constexpr const char* kSigns[] = {"+", "-", "*", "/", "//", "%", "**"};
  const auto describe = [](const Value& value) {
    const auto* undefined = std::get_if<Undefined>(&value);
    if (undefined == nullptr) return concatenate({"a value of type ", type_name(value)});
    return concatenate({"'", undefined->name, "' (undefined)"});
  };
  fail({"cannot compute ", describe(a), " ", kSigns[static_cast<int>(op)], " ", describe(b)});
}

}  // namespace nibble::jinja
