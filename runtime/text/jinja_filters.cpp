// Filters of single values: text, numbers, JSON. Those of sequences are in jinja_list_filters.cpp.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

#include "runtime/text/jinja_filters.h"

namespace nibble::jinja {
namespace {

using Args = const Arguments&;

Value filter_abs(Heap& heap, const Value& v, Args) {
  if (const auto* d = std::get_if<double>(&v)) return std::fabs(*d);
  const int64_t integer = to_int(v, "input of abs");
  if (integer == INT64_MIN) fail({"an integer does not fit 64 bits"});
  (void)heap;
  return integer < 0 ? -integer : integer;
}

Value filter_attr(Heap& heap, const Value& v, Args a) {
  return get_attribute(heap, v, expect_text(a.require(0, "name"), "name of the attribute"));
}

Value filter_capitalize(Heap& heap, const Value& v, Args) {
  return capitalize(heap, to_text(heap, v));
}

Value filter_default(Heap&, const Value& v, Args a) {
  const bool missing = is<Undefined>(v) || (truthy(a.get(1, "boolean", false)) && !truthy(v));
  return missing ? a.get(0, "default_value", std::string_view()) : v;
}

Value filter_escape(Heap& heap, const Value& v, Args) {
  TextBuilder out(heap);
  for (const char c : to_text(heap, v)) {
    switch (c) {
      case '&':
        out.append("&amp;");
        break;
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '"':
        out.append("&#34;");
        break;
      case '\'':
        out.append("&#39;");
        break;
      default:
        out.append(1, c);
    }
  }
  return out.finish();
}

// A number written in all of `text`, white space aside.
template <typename T>
std::optional<T> parse_number(Heap& heap, std::string_view text) {
  text = strip(heap, text, None{}, true, true);
  if (text.starts_with('+')) text.remove_prefix(1);
  T number{};
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

Value filter_float(Heap& heap, const Value& v, Args a) {
  if (const auto number = as_number(v)) return *number;
  const auto* text = std::get_if<std::string_view>(&v);
  if (text != nullptr) {
    if (const auto number = parse_number<double>(heap, *text)) return *number;
  }
  return a.get(0, "default", 0.0);
}

Value filter_int(Heap& heap, const Value& v, Args a) {
  if (const auto integer = as_integer(v)) return *integer;
  std::optional<double> number = as_number(v);
  if (const auto* text = std::get_if<std::string_view>(&v)) {
    if (const auto integer = parse_number<int64_t>(heap, *text)) return *integer;
    number = parse_number<double>(heap, *text);
  }
  if (number && std::fabs(*number) < 9.2e18) return static_cast<int64_t>(*number);
  return a.get(0, "default", int64_t{0});
}

Value filter_indent(Heap& heap, const Value& v, Args a) {
  const Value width = a.get(0, "width", int64_t{4});
  TextBuilder margin(heap);
  if (is<std::string_view>(width)) {
    margin.append(std::get<std::string_view>(width));
  } else {
    margin.append(static_cast<size_t>(std::max<int64_t>(to_int(width, "width"), 0)), ' ');
  }
  const std::string_view by = margin.finish();
  const bool first = truthy(a.get(1, "first", false));
  const bool blank = truthy(a.get(2, "blank", false));
  TextBuilder out(heap);
  std::string_view rest = to_text(heap, v);
  for (bool start = true;; start = false) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    if (start ? first : (blank || !line.empty())) out.append(by);
    out.append(line);
    if (end == rest.size()) return out.finish();
    out.append("\n");
    rest.remove_prefix(end + 1);
  }
}

Value filter_items(Heap& heap, const Value& v, Args) {
  if (is<Undefined>(v)) return heap.list();
  if (!is<const Dict*>(v)) fail({"the input of items must be a mapping"});
  return dict_items(heap, *std::get<const Dict*>(v));
}

Value filter_lower(Heap& heap, const Value& v, Args) {
  return change_case(heap, to_text(heap, v), false);
}

Value filter_replace(Heap& heap, const Value& v, Args a) {
  return replace(heap, to_text(heap, v), to_text(heap, a.require(0, "old")),
                 to_text(heap, a.require(1, "new")),
                 to_int(a.get(2, "count", int64_t{-1}), "count"));
}

Value filter_round(Heap&, const Value& v, Args a) {
  const auto number = as_number(v);
  if (!number) fail({"the input of round must be a number"});
  const int64_t precision = to_int(a.get(0, "precision", int64_t{0}), "precision");
  const std::string_view method =
      expect_text(a.get(1, "method", std::string_view("common")), "method");
  const double scale =
      std::pow(10.0, static_cast<double>(std::clamp<int64_t>(precision, -300, 300)));
  if (method == "ceil") return std::ceil(*number * scale) / scale;
  if (method == "floor") return std::floor(*number * scale) / scale;
  if (method != "common") fail({"the method of round must be common, ceil or floor"});
  return std::nearbyint(*number * scale) / scale;
}

Value filter_safe(Heap& heap, const Value& v, Args) {
  return to_text(heap, v);
}

Value filter_title(Heap& heap, const Value& v, Args) {
  return title(heap, to_text(heap, v));
}

Value filter_tojson(Heap& heap, const Value& v, Args a) {
  // Positions as in Hugging Face's tojson.
  JsonOptions options;
  options.ascii = truthy(a.get(0, "ensure_ascii", false));
  const Value indent = a.get(1, "indent", None{});
  if (!is<None>(indent)) {
    options.indent = static_cast<int>(std::clamp<int64_t>(to_int(indent, "indent"), 0, 64));
    options.item_separator = ",";
  }
  if (const Value separators = a.get(2, "separators", None{}); !is<None>(separators)) {
    const List* pair = iterate(heap, separators);
    if (pair->items.size() != 2) fail({"the separators of tojson must be two strings"});
    options.item_separator = expect_text(pair->items[0], "separator");
    options.key_separator = expect_text(pair->items[1], "separator");
  }
  options.sort_keys = truthy(a.get(3, "sort_keys", false));
  TextBuilder out(heap);
  append_json(heap, &out, v, options);
  return out.finish();
}

Value filter_trim(Heap& heap, const Value& v, Args a) {
  const std::string_view text = to_text(heap, v);
  heap.step_bytes(text.size());
  return strip(heap, text, a.get(0, "chars", None{}), true, true);
}

Value filter_upper(Heap& heap, const Value& v, Args) {
  return change_case(heap, to_text(heap, v), true);
}

constexpr FilterEntry kFilters[] = {
    {"abs", filter_abs},         {"attr", filter_attr},       {"capitalize", filter_capitalize},
    {"d", filter_default},       {"default", filter_default}, {"e", filter_escape},
    {"escape", filter_escape},   {"float", filter_float},     {"indent", filter_indent},
    {"int", filter_int},         {"items", filter_items},     {"lower", filter_lower},
    {"replace", filter_replace}, {"round", filter_round},     {"safe", filter_safe},
    {"string", filter_safe},     {"title", filter_title},     {"tojson", filter_tojson},
    {"trim", filter_trim},       {"upper", filter_upper},
};

}  // namespace

Filter find_filter(std::string_view name) {
  const auto by_name = [&](const FilterEntry& entry) { return entry.name == name; };
  const auto* entry = std::find_if(std::begin(kFilters), std::end(kFilters), by_name);
  if (entry != std::end(kFilters)) return entry->filter;
  const auto list_filters = sequence_filters();
  const auto found = std::find_if(list_filters.begin(), list_filters.end(), by_name);
  return found != list_filters.end() ? found->filter : nullptr;
}

}  // namespace nibble::jinja
