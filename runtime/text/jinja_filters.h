// The table of filters, in two parts.
#pragma once

#include <span>
#include <string_view>

#include "runtime/text/jinja_builtins.h"

namespace nibble::jinja {

struct FilterEntry {
  std::string_view name;
  Filter filter;
};

// jinja_list_filters.cpp
std::span<const FilterEntry> sequence_filters();

}  // namespace nibble::jinja
