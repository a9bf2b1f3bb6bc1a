// Methods of text, dicts and loops, as Python has them.
#include <algorithm>
#include <iterator>

#include "runtime/text/jinja_builtins.h"
#include "runtime/text/utf8.h"

namespace nibble::jinja {
namespace {

constexpr std::string_view kTextMethods[] = {
    "strip",    "lstrip",  "rstrip",       "split",        "rsplit",     "splitlines", "startswith",
    "endswith", "upper",   "lower",        "title",        "capitalize", "replace",    "find",
    "rfind",    "count",   "join",         "isdigit",      "isalpha",    "isalnum",    "isspace",
    "isupper",  "islower", "removeprefix", "removesuffix", "format"};
constexpr std::string_view kDictMethods[] = {"items", "keys", "values", "get"};

bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Python's str.isspace.
bool is_space(uint32_t c) {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}
bool is_space(std::string_view character) {
  uint32_t code_point = 0;
  return utf8_decode(character, &code_point) > 0 && is_space(code_point);
}

// The last character of a text that is not empty.
std::string_view last_character(std::string_view text) {
  for (size_t size = std::min<size_t>(4, text.size()); size > 1; --size) {
    const std::string_view tail = text.substr(text.size() - size);
    if (character_size(tail) == size) return tail;
  }
  return text.substr(text.size() - 1);
}

// Whether a character is one of those in `set`, itself a text of characters.
bool is_in(std::string_view character, std::string_view set) {
  for (; !set.empty(); set.remove_prefix(character_size(set))) {
    if (set.substr(0, character_size(set)) == character) return true;
  }
  return false;
}

// A limit on the number of pieces, or all of them when it is negative or absent.
int64_t piece_limit(const Arguments& arguments) {
  const int64_t limit = to_int(arguments.get(1, "maxsplit", int64_t{-1}), "maxsplit");
  return limit < 0 ? INT64_MAX : limit;
}

Value split_at_space(Heap& heap, std::string_view text, int64_t limit) {
  List* list = heap.list();
  for (;;) {
    text = strip(heap, text, None{}, true, false);
    if (text.empty()) return list;
    size_t end = 0;
    while (end < text.size() && !is_space(text.substr(end)))
      end += character_size(text.substr(end));
    if (std::ssize(list->items) == limit) {
      heap.append(list, text);
      return list;
    }
    heap.append(list, text.substr(0, end));
    text.remove_prefix(end);
  }
}

Value split(Heap& heap, std::string_view text, const Arguments& arguments) {
  const Value separator = arguments.get(0, "sep", None{});
  const int64_t limit = piece_limit(arguments);
  if (is<None>(separator)) return split_at_space(heap, text, limit);
  const std::string_view by = expect_text(separator, "separator");
  if (by.empty()) fail({"the separator of split() is empty"});
  List* list = heap.list();
  size_t from = 0;
  while (std::ssize(list->items) < limit) {
    const size_t at = find_text(text, by, from);
    if (at == std::string_view::npos) break;
    heap.append(list, text.substr(from, at - from));
    from = at + by.size();
  }
  heap.append(list, text.substr(from));
  return list;
}

std::string reversed(std::string_view text) {
  return {text.rbegin(), text.rend()};
}

Value rsplit(Heap& heap, std::string_view text, const Arguments& arguments) {
  const std::string_view by = expect_text(arguments.require(0, "sep"), "separator");
  if (by.empty()) fail({"the separator of rsplit() is empty"});
  const int64_t limit = piece_limit(arguments);
  const std::string backwards = reversed(text);  // for a search that is linear
  const std::string pattern = reversed(by);
  List* list = heap.list();
  size_t from = 0;
  while (std::ssize(list->items) < limit) {
    const size_t at = find_text(backwards, pattern, from);
    if (at == std::string_view::npos) break;
    heap.append(list, text.substr(text.size() - at, at - from));
    from = at + by.size();
  }
  heap.append(list, text.substr(0, text.size() - from));
  std::reverse(list->items.begin(), list->items.end());
  return list;
}

Value splitlines(Heap& heap, std::string_view text, const Arguments& arguments) {
  const bool keep = truthy(arguments.get(0, "keepends", false));
  List* list = heap.list();
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\n\r"), text.size());
    const size_t newline = text.substr(end).starts_with("\r\n") ? 2 : (end < text.size() ? 1 : 0);
    heap.append(list, text.substr(0, end + (keep ? newline : 0)));
    text.remove_prefix(end + newline);
  }
  return list;
}

// startswith, endswith: one affix or a tuple of them.
bool has_affix(Heap& heap, std::string_view text, const Value& affix, bool start) {
  if (const auto* list = std::get_if<const List*>(&affix)) {
    return std::any_of((*list)->items.begin(), (*list)->items.end(), [&](const Value& item) {
      heap.step();
      return has_affix(heap, text, Value(expect_text(item, "affix")), start);
    });
  }
  const std::string_view part = expect_text(affix, "affix");
  heap.step_bytes(part.size());
  return start ? text.starts_with(part) : text.ends_with(part);
}

template <typename Predicate>
bool all_characters(std::string_view text, Predicate predicate) {
  return !text.empty() && std::all_of(text.begin(), text.end(), predicate);
}

// isdigit ... : ASCII only.
bool classify(Heap& heap, std::string_view text, std::string_view name) {
  if (name == "isdigit") return all_characters(text, is_digit);
  if (name == "isalpha") {
    return all_characters(text, [](char c) { return is_upper(c) || is_lower(c); });
  }
  if (name == "isalnum") {
    return all_characters(text, [](char c) { return is_upper(c) || is_lower(c) || is_digit(c); });
  }
  if (name == "isspace") return !text.empty() && strip(heap, text, None{}, true, false).empty();
  const bool upper = name == "isupper";
  return std::none_of(text.begin(), text.end(), upper ? is_lower : is_upper) &&
         std::any_of(text.begin(), text.end(), upper ? is_upper : is_lower);
}

int64_t count_text(Heap& heap, std::string_view text, std::string_view part) {
  if (part.empty()) return character_count(text) + 1;
  int64_t count = 0;
  for (size_t at = find_text(text, part); at != std::string_view::npos;
       at = find_text(text, part, at + part.size())) {
    heap.step();
    ++count;
  }
  return count;
}

size_t find_last(std::string_view text, std::string_view part) {
  const size_t at = find_text(reversed(text), reversed(part));
  return at == std::string_view::npos ? at : text.size() - at - part.size();
}

Value position(std::string_view text, size_t at) {
  return at == std::string_view::npos ? int64_t{-1} : character_count(text.substr(0, at));
}

std::string_view without_affix(std::string_view text, std::string_view affix, bool start) {
  if (start && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (!start && text.ends_with(affix)) text.remove_suffix(affix.size());
  return text;
}

// "{} {0} {name}".format(...), without attributes, indices and format specifications.
std::string_view format(Heap& heap, std::string_view text, const Arguments& arguments) {
  TextBuilder out(heap);
  size_t automatic = 0;
  while (!text.empty()) {
    const size_t at = std::min(text.find_first_of("{}"), text.size());
    out.append(text.substr(0, at));
    text.remove_prefix(at);
    if (text.empty()) break;
    if (text.starts_with("{{") || text.starts_with("}}")) {
      out.append(text.substr(0, 1));
      text.remove_prefix(2);
      continue;
    }
    const size_t end = text.find('}');
    const std::string_view name = end == std::string_view::npos ? "{" : text.substr(1, end - 1);
    const bool number =
        !name.empty() && name.size() < 4 && std::all_of(name.begin(), name.end(), is_digit);
    if (text[0] == '}' || name.find_first_of("{:!.[") != std::string_view::npos) {
      fail({"format() knows only {}, {0} and {name}"});
    }
    size_t position = arguments.positional.size();
    if (name.empty()) position = automatic++;
    if (number) position = static_cast<size_t>(std::stoi(std::string(name)));
    append_text(heap, &out, arguments.require(position, name.empty() ? "next" : name));
    text.remove_prefix(end + 1);
  }
  return out.finish();
}

Value call_text_method(Heap& heap, std::string_view text, std::string_view name,
                       const Arguments& arguments) {
  const auto part = [&] { return expect_text(arguments.require(0, "text"), "argument"); };
  heap.step_bytes(text.size());
  if (name == "strip") return strip(heap, text, arguments.get(0, "chars", None{}), true, true);
  if (name == "lstrip") return strip(heap, text, arguments.get(0, "chars", None{}), true, false);
  if (name == "rstrip") return strip(heap, text, arguments.get(0, "chars", None{}), false, true);
  if (name == "split") return split(heap, text, arguments);
  if (name == "rsplit") return rsplit(heap, text, arguments);
  if (name == "splitlines") return splitlines(heap, text, arguments);
  if (name == "startswith") return has_affix(heap, text, arguments.require(0, "prefix"), true);
  if (name == "endswith") return has_affix(heap, text, arguments.require(0, "suffix"), false);
  if (name == "upper") return change_case(heap, text, true);
  if (name == "lower") return change_case(heap, text, false);
  if (name == "title") return title(heap, text);
  if (name == "capitalize") return capitalize(heap, text);
  if (name == "replace") {
    return replace(heap, text, part(), expect_text(arguments.require(1, "new"), "replacement"),
                   to_int(arguments.get(2, "count", int64_t{-1}), "count"));
  }
  if (name == "find") return position(text, find_text(text, part()));
  if (name == "rfind") return position(text, find_last(text, part()));
  if (name == "count") return count_text(heap, text, part());
  if (name == "join") return join(heap, text, *iterate(heap, arguments.require(0, "items")));
  if (name == "format") return format(heap, text, arguments);
  if (name == "removeprefix") return without_affix(text, part(), true);
  if (name == "removesuffix") return without_affix(text, part(), false);
  return classify(heap, text, name);
}

Value call_dict_method(Heap& heap, const Dict& dict, std::string_view name,
                       const Arguments& arguments) {
  if (name == "get") {
    const Value* found = find(heap, dict, arguments.require(0, "key"));
    return found != nullptr ? *found : arguments.get(1, "default", None{});
  }
  if (name == "items") return dict_items(heap, dict);
  List* list = heap.list();
  for (const auto& [key, value] : dict.items) heap.append(list, name == "keys" ? key : value);
  return list;
}

}  // namespace

bool has_method(const Value& object, std::string_view name) {
  const auto has = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  if (is<std::string_view>(object)) return has(kTextMethods);
  if (is<const Dict*>(object)) return has(kDictMethods);
  return is<const Loop*>(object) && name == "cycle";
}

Value call_method(Heap& heap, const Value& object, std::string_view name,
                  const Arguments& arguments) {
  if (const auto* text = std::get_if<std::string_view>(&object)) {
    return call_text_method(heap, *text, name, arguments);
  }
  if (const auto* dict = std::get_if<const Dict*>(&object)) {
    return call_dict_method(heap, **dict, name, arguments);
  }
  if (arguments.positional.empty()) fail({"loop.cycle() has nothing to choose from"});
  const auto index = static_cast<size_t>(std::get<const Loop*>(object)->index0);
  return arguments.positional[index % arguments.positional.size()];
}

std::string_view strip(Heap& heap, std::string_view text, const Value& characters, bool left,
                       bool right) {
  const bool space = is<None>(characters) || is<Undefined>(characters);
  const std::string_view set = space ? "" : expect_text(characters, "characters to strip");
  const auto goes = [&](std::string_view c) {
    if (space) return is_space(c);
    heap.step_bytes(set.size());
    return is_in(c, set);
  };
  while (left && !text.empty()) {
    const size_t size = character_size(text);
    if (!goes(text.substr(0, size))) break;
    text.remove_prefix(size);
  }
  while (right && !text.empty()) {
    const std::string_view last = last_character(text);
    if (!goes(last)) break;
    text.remove_suffix(last.size());
  }
  return text;
}

std::string_view change_case(Heap& heap, std::string_view text, bool upper) {
  std::string out(text);
  for (char& c : out) {
    if (upper ? is_lower(c) : is_upper(c)) c = static_cast<char>(c ^ 32);
  }
  return heap.text(std::move(out));
}

std::string_view title(Heap& heap, std::string_view text) {
  std::string out(text);
  bool in_word = false;
  for (char& c : out) {
    const bool letter = is_upper(c) || is_lower(c) || static_cast<unsigned char>(c) >= 128;
    if (in_word && is_upper(c)) c = static_cast<char>(c + 32);
    if (!in_word && is_lower(c)) c = static_cast<char>(c - 32);
    in_word = letter;
  }
  return heap.text(std::move(out));
}

std::string_view capitalize(Heap& heap, std::string_view text) {
  std::string out(change_case(heap, text, false));
  if (!out.empty() && is_lower(out[0])) out[0] = static_cast<char>(out[0] - 32);
  return heap.text(std::move(out));
}

std::string_view replace(Heap& heap, std::string_view text, std::string_view from,
                         std::string_view to, int64_t count) {
  TextBuilder out(heap);
  size_t done = 0;
  if (count < 0) count = INT64_MAX;
  size_t at = find_text(text, from);
  while (count-- > 0 && at != std::string_view::npos) {
    heap.step();
    out.append(text.substr(done, at - done));
    out.append(to);
    done = at + from.size();
    if (from.empty()) {  // between all characters and at both ends
      if (at == text.size()) break;
      at += character_size(text.substr(at));
    } else {
      at = find_text(text, from, done);
    }
  }
  out.append(text.substr(done));
  return out.finish();
}

std::string_view join(Heap& heap, std::string_view separator, const List& items) {
  TextBuilder out(heap);
  for (size_t i = 0; i < items.items.size(); ++i) {
    heap.step();
    if (i > 0) out.append(separator);
    append_text(heap, &out, items.items[i]);
  }
  return out.finish();
}

const List* dict_items(Heap& heap, const Dict& dict) {
  List* list = heap.list();
  for (const auto& [key, value] : dict.items) {
    List* pair = heap.list(true);
    heap.append(pair, key);
    heap.append(pair, value);
    heap.append(list, pair);
  }
  return list;
}

}  // namespace nibble::jinja
