#include "runtime/text/jinja_value.h"

#include <algorithm>
#include <cstring>

#include "runtime/text/jinja_builtins.h"
#include "runtime/text/utf8.h"

namespace nibble::jinja {

std::string_view type_name(const Value& value) {
  static constexpr std::string_view kNames[] = {"undefined", "none",   "boolean", "integer",
                                                "float",     "string", "list",    "mapping",
                                                "namespace", "loop",   "function"};
  return kNames[value.index()];
}

bool truthy(const Value& value) {
  if (const auto* b = std::get_if<bool>(&value)) return *b;
  if (const auto* i = std::get_if<int64_t>(&value)) return *i != 0;
  if (const auto* d = std::get_if<double>(&value)) return *d != 0;
  if (const auto* text = std::get_if<std::string_view>(&value)) return !text->empty();
  if (const auto* list = std::get_if<const List*>(&value)) return !(*list)->items.empty();
  if (const auto* dict = std::get_if<const Dict*>(&value)) return !(*dict)->items.empty();
  return !is<Undefined>(value) && !is<None>(value);
}

std::optional<int64_t> as_integer(const Value& value) {
  if (const auto* i = std::get_if<int64_t>(&value)) return *i;
  if (const auto* b = std::get_if<bool>(&value)) return *b ? 1 : 0;
  return std::nullopt;
}

std::optional<double> as_number(const Value& value) {
  if (const auto* d = std::get_if<double>(&value)) return *d;
  if (const auto integer = as_integer(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

namespace {

bool equal_dicts(Heap& heap, const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const Value* other = find(heap, b, key);
    if (other == nullptr || !equal(heap, value, *other)) return false;
  }
  return true;
}

bool equal_lists(Heap& heap, const List& a, const List& b) {
  if (a.tuple != b.tuple || a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!equal(heap, a.items[i], b.items[i])) return false;
  }
  return true;
}

}  // namespace

bool equal(Heap& heap, const Value& a, const Value& b) {
  heap.step();
  if (const auto x = as_number(a)) {
    const auto i = as_integer(a);
    const auto j = as_integer(b);
    if (i && j) return *i == *j;
    const auto y = as_number(b);
    return y && *x == *y;
  }
  if (a.index() != b.index()) return false;
  if (is<Undefined>(a) || is<None>(a)) return true;
  if (const auto* x = std::get_if<std::string_view>(&a)) {
    heap.step_bytes(x->size());
    return *x == std::get<std::string_view>(b);
  }
  const DepthGuard guard(heap);
  if (const auto* x = std::get_if<const List*>(&a)) {
    return equal_lists(heap, **x, *std::get<const List*>(b));
  }
  if (const auto* x = std::get_if<const Dict*>(&a)) {
    return equal_dicts(heap, **x, *std::get<const Dict*>(b));
  }
  if (const auto* x = std::get_if<Namespace*>(&a)) return *x == std::get<Namespace*>(b);
  if (const auto* x = std::get_if<const Loop*>(&a)) return *x == std::get<const Loop*>(b);
  return std::get<const Callable*>(a) == std::get<const Callable*>(b);
}

int compare(Heap& heap, const Value& a, const Value& b) {
  heap.step();
  const auto order = [](auto x, auto y) { return x < y ? -1 : (y < x ? 1 : 0); };
  if (as_integer(a) && as_integer(b)) return order(*as_integer(a), *as_integer(b));
  if (as_number(a) && as_number(b)) return order(*as_number(a), *as_number(b));
  if (is<std::string_view>(a) && is<std::string_view>(b)) {
    const auto x = std::get<std::string_view>(a);
    heap.step_bytes(x.size());
    return order(x, std::get<std::string_view>(b));
  }
  if (is<const List*>(a) && is<const List*>(b)) {
    const DepthGuard guard(heap);
    const auto& x = std::get<const List*>(a)->items;
    const auto& y = std::get<const List*>(b)->items;
    for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!equal(heap, x[i], y[i])) return compare(heap, x[i], y[i]);
    }
    return order(x.size(), y.size());
  }
  fail({"cannot order ", type_name(a), " and ", type_name(b)});
}

const Value* find(Heap& heap, const Dict& dict, const Value& key) {
  const auto* name = std::get_if<std::string_view>(&key);
  if (name == nullptr &&
      (is<const List*>(key) ? !std::get<const List*>(key)->tuple : is<const Dict*>(key))) {
    fail({"a ", type_name(key), " cannot be the key of a mapping"});
  }
  for (const auto& [candidate, value] : dict.items) {
    if (name != nullptr) {  // the usual case, made quick
      heap.step_bytes(name->size());
      const auto* text = std::get_if<std::string_view>(&candidate);
      if (text != nullptr && *text == *name) return &value;
    } else if (equal(heap, candidate, key)) {
      return &value;
    }
  }
  return nullptr;
}

bool contains(Heap& heap, const Value& container, const Value& element) {
  if (const auto* text = std::get_if<std::string_view>(&container)) {
    heap.step_bytes(text->size());
    return find_text(*text, expect_text(element, "left side of 'in'")) != std::string_view::npos;
  }
  if (const auto* dict = std::get_if<const Dict*>(&container)) {
    return find(heap, **dict, element) != nullptr;
  }
  for (const Value& item : iterate(heap, container)->items) {
    if (equal(heap, item, element)) return true;
  }
  return false;
}

int64_t length(Heap& heap, const Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    heap.step_bytes(text->size());
    return character_count(*text);
  }
  if (const auto* list = std::get_if<const List*>(&value)) return std::ssize((*list)->items);
  if (const auto* dict = std::get_if<const Dict*>(&value)) return std::ssize((*dict)->items);
  if (const auto* loop = std::get_if<const Loop*>(&value)) return std::ssize((*loop)->items->items);
  if (is<Undefined>(value)) return 0;
  fail({"a value of type ", type_name(value), " has no length"});
}

const List* iterate(Heap& heap, const Value& value) {
  if (const auto* list = std::get_if<const List*>(&value)) return *list;
  if (!is<std::string_view>(value) && !is<const Dict*>(value) && !is<Undefined>(value)) {
    fail({"cannot go through a value of type ", type_name(value)});
  }
  List* list = heap.list();
  if (const auto* dict = std::get_if<const Dict*>(&value)) {
    for (const auto& [key, item] : (*dict)->items) heap.append(list, key);
  } else if (const auto* text = std::get_if<std::string_view>(&value)) {
    for (std::string_view rest = *text; !rest.empty();) {
      const size_t size = character_size(rest);
      heap.append(list, rest.substr(0, size));
      rest.remove_prefix(size);
    }
  }
  return list;
}

namespace {

Value loop_attribute(const Loop& loop, std::string_view name) {
  const auto& items = loop.items->items;
  const int64_t count = std::ssize(items);
  const int64_t i = loop.index0;
  if (name == "index") return i + 1;
  if (name == "index0") return i;
  if (name == "first") return i == 0;
  if (name == "last") return i + 1 == count;
  if (name == "length") return count;
  if (name == "revindex") return count - i;
  if (name == "revindex0") return count - i - 1;
  if (name == "depth") return int64_t{1};  // of recursive loops
  if (name == "depth0") return int64_t{0};
  if (name == "previtem") return i > 0 ? items[i - 1] : Value(Undefined{name});
  if (name == "nextitem") return i + 1 < count ? items[i + 1] : Value(Undefined{name});
  return Undefined{name};
}

// An item without falling back to attributes; Undefined when there is none.
Value subscript(Heap& heap, const Value& object, const Value& key) {
  if (const auto* dict = std::get_if<const Dict*>(&object)) {
    if (const Value* found = find(heap, **dict, key)) return *found;
    return Undefined{is<std::string_view>(key) ? std::get<std::string_view>(key) : "key"};
  }
  const auto index = as_integer(key);
  if (!index) return Undefined{"index"};
  if (const auto* list = std::get_if<const List*>(&object)) {
    const auto& items = (*list)->items;
    const int64_t at = *index < 0 ? *index + std::ssize(items) : *index;
    if (at >= 0 && at < std::ssize(items)) return items[at];
  } else if (const auto* text = std::get_if<std::string_view>(&object)) {
    heap.step_bytes(text->size());
    const int64_t count = character_count(*text);
    const int64_t at = *index < 0 ? *index + count : *index;
    if (at >= 0 && at < count) {
      const std::string_view rest = text->substr(character_offset(*text, at));
      return rest.substr(0, character_size(rest));
    }
  }
  return Undefined{"index"};
}

}  // namespace

Value get_attribute(Heap& heap, const Value& object, std::string_view name) {
  if (const auto* undefined = std::get_if<Undefined>(&object)) {
    fail({"'", undefined->name, "' is undefined, so it has no '", name, "'"});
  }
  if (const auto* loop = std::get_if<const Loop*>(&object); loop && name != "cycle") {
    return loop_attribute(**loop, name);
  }
  if (const auto* names = std::get_if<Namespace*>(&object)) {
    const Value* found = find(heap, (*names)->attributes, name);
    return found != nullptr ? *found : Value(Undefined{name});
  }
  if (has_method(object, name)) {
    Callable* method = heap.callable();
    method->name = name;
    method->receiver = object;
    return method;
  }
  if (is<const Dict*>(object)) return subscript(heap, object, name);
  return Undefined{name};
}

Value get_item(Heap& heap, const Value& object, const Value& key) {
  if (const auto* name = std::get_if<std::string_view>(&key)) {
    if (const auto* dict = std::get_if<const Dict*>(&object)) {
      if (const Value* found = find(heap, **dict, key)) return *found;
    }
    return get_attribute(heap, object, *name);
  }
  if (is<Undefined>(object)) return get_attribute(heap, object, "item");
  return subscript(heap, object, key);
}

Value slice(Heap& heap, const Value& object, const Value& start, const Value& stop,
            const Value& step) {
  const auto left_out = [](const Value& v) { return is<None>(v) || is<Undefined>(v); };
  const int64_t by = left_out(step) ? 1 : to_int(step, "step of a slice");
  if (by == 0) fail({"the step of a slice is 0"});
  const auto* text = std::get_if<std::string_view>(&object);
  if (text == nullptr && !is<const List*>(object)) {
    fail({"cannot slice a value of type ", type_name(object)});
  }
  const int64_t count = length(heap, object);
  // Python's rule: negative positions count from the end, then all are clamped.
  const auto position = [&](const Value& value, int64_t fallback) {
    if (left_out(value)) return fallback;
    int64_t at = to_int(value, "position of a slice");
    if (at < 0) at = at < -count ? -1 : at + count;
    return std::clamp<int64_t>(at, by < 0 ? -1 : 0, by < 0 ? count - 1 : count);
  };
  const int64_t first = position(start, by > 0 ? 0 : count - 1);
  const int64_t end = position(stop, by > 0 ? count : -1);
  if (text != nullptr && by == 1) {
    heap.step_bytes(text->size());
    const size_t from = character_offset(*text, first);
    return text->substr(from,
                        character_offset(text->substr(from), std::max<int64_t>(end - first, 0)));
  }
  const List* items = iterate(heap, object);
  List* picked = heap.list(text == nullptr && items->tuple);
  for (int64_t i = first; by > 0 ? i < end : i > end;) {
    heap.append(picked, items->items[i]);
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  if (text == nullptr) return picked;
  return join(heap, "", *picked);
}

int64_t to_int(const Value& value, std::string_view what) {
  if (const auto integer = as_integer(value)) return *integer;
  fail({"the ", what, " must be an integer, not a value of type ", type_name(value)});
}

std::string_view expect_text(const Value& value, std::string_view what) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return *text;
  fail({"the ", what, " must be a string, not a value of type ", type_name(value)});
}

size_t character_size(std::string_view text) {
  uint32_t code_point;
  const int size = utf8_decode(text, &code_point);
  return size > 0 ? static_cast<size_t>(size) : 1;
}

size_t character_offset(std::string_view text, int64_t index) {
  size_t offset = 0;
  for (; index > 0 && offset < text.size(); --index) offset += character_size(text.substr(offset));
  return offset;
}

int64_t character_count(std::string_view text) {
  int64_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(character_size(text));
  return count;
}

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* found =  // linear (two-way); std::string_view::find is quadratic at worst
      ::memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

}  // namespace nibble::jinja
