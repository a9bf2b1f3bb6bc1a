// Filters of sequences: length, join, map, select, sort and their like. Where Jinja is lazy, these
// give lists.
#include <algorithm>

#include "runtime/text/jinja_filters.h"

namespace nibble::jinja {
namespace {

using Args = const Arguments&;

// "a.b.0" of an item, as the attribute arguments of map, sort and others take it.
Value by_path(Heap& heap, Value item, const Value& path) {
  if (as_integer(path)) return get_item(heap, item, path);
  std::string_view rest = expect_text(path, "attribute");
  for (;;) {
    const size_t dot = std::min(rest.find('.'), rest.size());
    const std::string_view name = rest.substr(0, dot);
    const bool number =
        !name.empty() && name.size() < 10 &&
        std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    const Value key = number ? Value(int64_t{std::stoi(std::string(name))}) : Value(name);
    item = get_item(heap, item, key);
    if (dot == rest.size()) return item;
    rest.remove_prefix(dot + 1);
  }
}

// The items that map and select go through: as in Jinja none for what is empty, even for none.
const List* items_or_none(Heap& heap, const Value& value) {
  return truthy(value) ? iterate(heap, value) : heap.list();
}

// What sort, unique, min and max order by: an attribute, texts without regard to case.
Value sort_key(Heap& heap, const Value& item, const Value& attribute, bool case_sensitive) {
  const Value key = is<None>(attribute) ? item : by_path(heap, item, attribute);
  if (case_sensitive || !is<std::string_view>(key)) return key;
  return change_case(heap, std::get<std::string_view>(key), false);
}

Value filter_dictsort(Heap& heap, const Value& v, Args a) {
  if (!is<const Dict*>(v)) fail({"the input of dictsort must be a mapping"});
  const bool sensitive = truthy(a.get(0, "case_sensitive", false));
  const std::string_view by = expect_text(a.get(1, "by", std::string_view("key")), "by");
  const bool reverse = truthy(a.get(2, "reverse", false));
  if (by != "key" && by != "value") fail({"dictsort sorts by 'key' or 'value'"});
  const Value index = int64_t{by == "key" ? 0 : 1};
  Arguments arguments;
  arguments.named = {{"reverse", reverse}, {"case_sensitive", sensitive}, {"attribute", index}};
  return find_filter("sort")(heap, dict_items(heap, *std::get<const Dict*>(v)), arguments);
}

Value filter_first(Heap& heap, const Value& v, Args) {
  const auto& items = iterate(heap, v)->items;
  return items.empty() ? Value(Undefined{"first item"}) : items.front();
}

Value filter_join(Heap& heap, const Value& v, Args a) {
  const std::string_view separator = to_text(heap, a.get(0, "d", std::string_view()));
  const Value attribute = a.get(1, "attribute", None{});
  const List* items = iterate(heap, v);
  if (is<None>(attribute)) return join(heap, separator, *items);
  List* list = heap.list();
  for (const Value& item : items->items) heap.append(list, by_path(heap, item, attribute));
  return join(heap, separator, *list);
}

Value filter_last(Heap& heap, const Value& v, Args) {
  const auto& items = iterate(heap, v)->items;
  return items.empty() ? Value(Undefined{"last item"}) : items.back();
}

Value filter_length(Heap& heap, const Value& v, Args) {
  return length(heap, v);
}

Value filter_list(Heap& heap, const Value& v, Args) {
  List* list = heap.list();
  for (const Value& item : iterate(heap, v)->items) heap.append(list, item);
  return list;
}

// The arguments after the first `count`, for the filter or test that those name.
Arguments rest_of(Args a, size_t count) {
  Arguments rest = a;
  const size_t taken = std::min(count, rest.positional.size());
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(taken));
  return rest;
}

Value filter_map(Heap& heap, const Value& v, Args a) {
  List* list = heap.list();
  const Value* attribute = a.positional.empty() ? a.find(0, "attribute") : nullptr;
  Filter filter = nullptr;
  if (attribute == nullptr) {
    filter = find_filter(expect_text(a.require(0, "filter"), "name of a filter"));
    if (filter == nullptr || filter == filter_map) fail({"map() cannot apply this filter"});
  }
  const Arguments rest = rest_of(a, 1);
  for (const Value& item : items_or_none(heap, v)->items) {
    if (filter != nullptr) {
      heap.append(list, filter(heap, item, rest));
      continue;
    }
    const Value value = by_path(heap, item, *attribute);
    heap.append(list, is<Undefined>(value) ? a.get(1, "default", value) : value);
  }
  return list;
}

// select, reject, selectattr, rejectattr.
Value filter_by_test(Heap& heap, const Value& v, Args a, bool wanted, bool by_attribute) {
  const size_t skipped = by_attribute ? 1 : 0;
  Test test = nullptr;
  if (a.positional.size() > skipped) {
    test = find_test(expect_text(a.positional[skipped], "name of a test"));
    if (test == nullptr) fail({"no test of this name to select by"});
  }
  const Arguments rest = rest_of(a, skipped + 1);
  List* list = heap.list();
  for (const Value& item : items_or_none(heap, v)->items) {
    heap.step();
    const Value value = by_attribute ? by_path(heap, item, a.require(0, "attribute")) : item;
    const bool holds = test != nullptr ? test(heap, value, rest) : truthy(value);
    if (holds == wanted) heap.append(list, item);
  }
  return list;
}

Value filter_reject(Heap& heap, const Value& v, Args a) {
  return filter_by_test(heap, v, a, false, false);
}
Value filter_rejectattr(Heap& heap, const Value& v, Args a) {
  return filter_by_test(heap, v, a, false, true);
}
Value filter_select(Heap& heap, const Value& v, Args a) {
  return filter_by_test(heap, v, a, true, false);
}
Value filter_selectattr(Heap& heap, const Value& v, Args a) {
  return filter_by_test(heap, v, a, true, true);
}

Value extreme(Heap& heap, const Value& v, Args a, int sign) {
  const bool sensitive = truthy(a.get(0, "case_sensitive", false));
  const Value attribute = a.get(1, "attribute", None{});
  const Value* best = nullptr;
  Value best_key;
  for (const Value& item : iterate(heap, v)->items) {
    const Value key = sort_key(heap, item, attribute, sensitive);
    if (best != nullptr && compare(heap, key, best_key) * sign <= 0) continue;
    best = &item;
    best_key = key;
  }
  return best != nullptr ? *best : Value(Undefined{"extreme of no items"});
}

Value filter_max(Heap& heap, const Value& v, Args a) {
  return extreme(heap, v, a, 1);
}
Value filter_min(Heap& heap, const Value& v, Args a) {
  return extreme(heap, v, a, -1);
}

Value filter_reverse(Heap& heap, const Value& v, Args) {
  return slice(heap, is<std::string_view>(v) ? v : Value(iterate(heap, v)), None{}, None{},
               int64_t{-1});
}

Value filter_sort(Heap& heap, const Value& v, Args a) {
  const bool reverse = truthy(a.get(0, "reverse", false));
  const bool sensitive = truthy(a.get(1, "case_sensitive", false));
  const Value attribute = a.get(2, "attribute", None{});
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : iterate(heap, v)->items) {
    keyed.emplace_back(sort_key(heap, item, attribute, sensitive), item);
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& x, const auto& y) {
    return reverse ? compare(heap, y.first, x.first) < 0 : compare(heap, x.first, y.first) < 0;
  });
  List* list = heap.list();
  for (const auto& [key, item] : keyed) heap.append(list, item);
  return list;
}

// The sum is made by adding, so numbers, and nothing else, as in Python.
Value filter_sum(Heap& heap, const Value& v, Args a) {
  const Value attribute = a.get(0, "attribute", None{});
  double sum = 0;
  int64_t integer_sum = 0;
  bool integers = true;
  Value start = a.get(1, "start", int64_t{0});
  const auto add = [&](const Value& value) {
    const auto number = as_number(value);
    if (!number) fail({"sum() of a value of type ", type_name(value)});
    sum += *number;
    const auto integer = as_integer(value);
    integers = integers && integer.has_value();
    if (integers && __builtin_add_overflow(integer_sum, *integer, &integer_sum)) {
      fail({"an integer does not fit 64 bits"});
    }
  };
  add(start);
  for (const Value& item : iterate(heap, v)->items) {
    heap.step();
    add(is<None>(attribute) ? item : by_path(heap, item, attribute));
  }
  return integers ? Value(integer_sum) : Value(sum);
}

Value filter_unique(Heap& heap, const Value& v, Args a) {
  const bool sensitive = truthy(a.get(0, "case_sensitive", false));
  const Value attribute = a.get(1, "attribute", None{});
  List* keys = heap.list();
  List* list = heap.list();
  for (const Value& item : iterate(heap, v)->items) {
    const Value key = sort_key(heap, item, attribute, sensitive);
    if (contains(heap, keys, key)) continue;
    heap.append(keys, key);
    heap.append(list, item);
  }
  return list;
}

constexpr FilterEntry kFilters[] = {
    {"count", filter_length},    {"dictsort", filter_dictsort}, {"first", filter_first},
    {"join", filter_join},       {"last", filter_last},         {"length", filter_length},
    {"list", filter_list},       {"map", filter_map},           {"max", filter_max},
    {"min", filter_min},         {"reject", filter_reject},     {"rejectattr", filter_rejectattr},
    {"reverse", filter_reverse}, {"select", filter_select},     {"selectattr", filter_selectattr},
    {"sort", filter_sort},       {"sum", filter_sum},           {"unique", filter_unique},
};

}  // namespace

std::span<const FilterEntry> sequence_filters() {
  return kFilters;
}

}  // namespace nibble::jinja
