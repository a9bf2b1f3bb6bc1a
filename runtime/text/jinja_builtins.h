// What a template can call by name: filters, tests, methods and global functions.
// Read next: jinja_filters.cpp, jinja_predicates.cpp, jinja_methods.cpp, jinja_functions.cpp.
#pragma once

#include <ctime>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/text/jinja_value.h"

namespace nibble::jinja {

// Evaluated arguments. Each call looks its parameters up by position and name.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;

  // Null when it was not given.
  const Value* find(size_t position, std::string_view name) const;
  Value get(size_t position, std::string_view name, const Value& fallback) const;
  // Fails when it was not given.
  Value require(size_t position, std::string_view name) const;
};

using Filter = Value (*)(Heap& heap, const Value& input, const Arguments& arguments);
using Test = bool (*)(Heap& heap, const Value& input, const Arguments& arguments);

// Null when there is none of this name.
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);

// Methods of text, dicts and loops by Python's names.
bool has_method(const Value& object, std::string_view name);
Value call_method(Heap& heap, const Value& object, std::string_view name,
                  const Arguments& arguments);

bool has_function(std::string_view name);
Value call_function(Heap& heap, std::string_view name, const Arguments& arguments,
                    const std::tm& now);

// Shared by filters and methods of the same name. Case changes are ASCII only.
std::string_view strip(Heap& heap, std::string_view text, const Value& characters, bool left,
                       bool right);
std::string_view title(Heap& heap, std::string_view text);
std::string_view change_case(Heap& heap, std::string_view text, bool upper);
std::string_view capitalize(Heap& heap, std::string_view text);
std::string_view replace(Heap& heap, std::string_view text, std::string_view from,
                         std::string_view to, int64_t count);
std::string_view join(Heap& heap, std::string_view separator, const List& items);
const List* dict_items(Heap& heap, const Dict& dict);

}  // namespace nibble::jinja
