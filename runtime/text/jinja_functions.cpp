// Global functions, and what arguments share.
#include <algorithm>
#include <iterator>

#include "runtime/text/jinja_builtins.h"

namespace nibble::jinja {

const Value* Arguments::find(size_t position, std::string_view name) const {
  if (position < positional.size()) return &positional[position];
  for (const auto& [given, value] : named) {
    if (given == name) return &value;
  }
  return nullptr;
}

Value Arguments::get(size_t position, std::string_view name, const Value& fallback) const {
  const Value* found = find(position, name);
  return found != nullptr ? *found : fallback;
}

Value Arguments::require(size_t position, std::string_view name) const {
  const Value* found = find(position, name);
  if (found == nullptr) fail({"the argument '", name, "' is missing"});
  return *found;
}

namespace {

constexpr std::string_view kFunctions[] = {"range", "namespace", "dict", "raise_exception",
                                           "strftime_now"};

Value make_range(Heap& heap, const Arguments& arguments) {
  const auto argument = [&](size_t i) { return to_int(arguments.require(i, "stop"), "range"); };
  const size_t count = arguments.positional.size();
  const int64_t start = count > 1 ? argument(0) : 0;
  const int64_t stop = argument(count > 1 ? 1 : 0);
  const int64_t step = count > 2 ? argument(2) : 1;
  if (step == 0) fail({"the step of range() is 0"});
  List* list = heap.list();
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    heap.append(list, i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return list;
}

// dict(), namespace(): a copy of a mapping, then named values.
void fill(Heap& heap, Dict* dict, const Arguments& arguments) {
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (!is<const Dict*>(source)) {
      fail({"expected a mapping, not a value of type ", type_name(source)});
    }
    for (const auto& [key, value] : std::get<const Dict*>(source)->items) {
      heap.set(dict, key, value);
    }
  }
  for (const auto& [name, value] : arguments.named) heap.set(dict, name, value);
}

std::string padded(int value, size_t width, bool pad, char fill = '0') {
  std::string text = std::to_string(value);
  if (pad && text.size() < width) text.insert(0, width - text.size(), fill);
  return text;
}

// One conversion of strftime in the C locale, whatever the host's locale is.
std::string format_time(char conversion, bool pad, const std::tm& now) {
  static constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                                 "May",       "June",     "July",     "August",
                                                 "September", "October",  "November", "December"};
  static constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                               "Thursday", "Friday", "Saturday"};
  const std::string_view month = kMonths[std::clamp(now.tm_mon, 0, 11)];
  const std::string_view day = kDays[std::clamp(now.tm_wday, 0, 6)];
  const int hour12 = now.tm_hour % 12 == 0 ? 12 : now.tm_hour % 12;
  switch (conversion) {
    case 'Y':
      return std::to_string(now.tm_year + 1900);
    case 'y':
      return padded(now.tm_year % 100, 2, pad);
    case 'm':
      return padded(now.tm_mon + 1, 2, pad);
    case 'd':
      return padded(now.tm_mday, 2, pad);
    case 'e':
      return padded(now.tm_mday, 2, pad, ' ');
    case 'j':
      return padded(now.tm_yday + 1, 3, pad);
    case 'H':
      return padded(now.tm_hour, 2, pad);
    case 'I':
      return padded(hour12, 2, pad);
    case 'M':
      return padded(now.tm_min, 2, pad);
    case 'S':
      return padded(now.tm_sec, 2, pad);
    case 'p':
      return now.tm_hour < 12 ? "AM" : "PM";
    case 'B':
      return std::string(month);
    case 'b':
      return std::string(month.substr(0, 3));
    case 'A':
      return std::string(day);
    case 'a':
      return std::string(day.substr(0, 3));
    case 'F':
      return concatenate({format_time('Y', true, now), "-", format_time('m', true, now), "-",
                          format_time('d', true, now)});
    case 'T':
      return concatenate({format_time('H', true, now), ":", format_time('M', true, now), ":",
                          format_time('S', true, now)});
    case '%':
      return "%";
    default:
      fail({"strftime_now does not know %", std::string_view(&conversion, 1)});
  }
}

Value strftime_now(Heap& heap, std::string_view format, const std::tm& now) {
  TextBuilder out(heap);
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out.append(1, format[i]);
      continue;
    }
    const bool pad = i + 1 >= format.size() || format[i + 1] != '-';  // %-d: no leading zero
    i += pad ? 1 : 2;
    out.append(format_time(i < format.size() ? format[i] : ' ', pad, now));
  }
  return out.finish();
}

}  // namespace

bool has_function(std::string_view name) {
  return std::find(std::begin(kFunctions), std::end(kFunctions), name) != std::end(kFunctions);
}

Value call_function(Heap& heap, std::string_view name, const Arguments& arguments,
                    const std::tm& now) {
  if (name == "range") return make_range(heap, arguments);
  if (name == "namespace") {
    Namespace* names = heap.name_space();
    fill(heap, &names->attributes, arguments);
    return names;
  }
  if (name == "dict") {
    Dict* dict = heap.dict();
    fill(heap, dict, arguments);
    return dict;
  }
  if (name == "strftime_now") {
    return strftime_now(heap, expect_text(arguments.require(0, "format"), "format of the date"),
                        now);
  }
  throw Failure{std::string(to_text(heap, arguments.require(0, "message"))), true};
}

}  // namespace nibble::jinja
