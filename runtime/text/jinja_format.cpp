// Values as text: Python's str() and repr(), and JSON as json.dumps writes it.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/text/jinja_value.h"
#include "runtime/text/utf8.h"

namespace nibble::jinja {
namespace {

// repr(float): the shortest digits that give the number back.
std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  int exponent = 0;
  const char* digits = text.data() + text.find('e') + 1;
  if (*digits == '+') ++digits;
  std::from_chars(digits, text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  char fixed[64];
  const auto last = std::to_chars(fixed, fixed + sizeof(fixed), value, std::chars_format::fixed);
  std::string out(fixed, last.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

void append_repr(Heap& heap, TextBuilder* out, const Value& value);

// Appends `text`, but for each byte that `special` names what it appends instead. Whole runs at a
// time: this is what long messages go through.
template <typename Special>
void append_escaped(TextBuilder* out, std::string_view text, Special special) {
  size_t run = 0;
  for (size_t i = 0; i < text.size();) {
    std::string escape;
    const size_t taken = special(text.substr(i), &escape);
    if (taken > 0) {
      out->append(text.substr(run, i - run));
      out->append(escape);
      run = i + taken;
    }
    i += std::max<size_t>(taken, 1);
  }
  out->append(text.substr(run));
}

std::string hex_escape(std::string_view prefix, uint32_t value, int digits) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text(prefix);
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) text += kHex[(value >> shift) & 15];
  return text;
}

// The letter after the backslash, or 0: a table of pairs.
char known_escape(char c, std::string_view pairs) {
  for (size_t i = 0; i < pairs.size(); i += 2) {
    if (pairs[i] == c) return pairs[i + 1];
  }
  return 0;
}

void append_quoted(TextBuilder* out, std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out->append(1, quote);
  append_escaped(out, text, [&](std::string_view rest, std::string* escape) -> size_t {
    const char c = rest[0];
    const char letter = c == quote ? quote : known_escape(c, "\\\\\nn\rr\tt");
    if (letter != 0) {
      *escape = {'\\', letter};
    } else if (static_cast<unsigned char>(c) < 32 || c == 127) {
      *escape = hex_escape("\\x", static_cast<unsigned char>(c), 2);
    } else {
      return 0;
    }
    return 1;
  });
  out->append(1, quote);
}

void append_list(Heap& heap, TextBuilder* out, const List& list) {
  out->append(list.tuple ? "(" : "[");
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out->append(", ");
    append_repr(heap, out, list.items[i]);
  }
  if (list.tuple && list.items.size() == 1) out->append(",");
  out->append(list.tuple ? ")" : "]");
}

void append_dict(Heap& heap, TextBuilder* out, const Dict& dict) {
  out->append("{");
  for (size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out->append(", ");
    append_repr(heap, out, dict.items[i].first);
    out->append(": ");
    append_repr(heap, out, dict.items[i].second);
  }
  out->append("}");
}

void append_repr(Heap& heap, TextBuilder* out, const Value& value) {
  heap.step();
  const DepthGuard guard(heap);
  if (const auto* text = std::get_if<std::string_view>(&value)) return append_quoted(out, *text);
  if (is<Undefined>(value)) return out->append("Undefined");
  append_text(heap, out, value);
}

class JsonWriter {
 public:
  JsonWriter(Heap& heap, TextBuilder* out, const JsonOptions& options)
      : heap_(heap), out_(out), options_(options) {}

  void write(const Value& value) {
    heap_.step();
    const DepthGuard guard(heap_);
    if (is<None>(value)) return out_->append("null");
    if (const auto* b = std::get_if<bool>(&value)) return out_->append(*b ? "true" : "false");
    if (const auto* text = std::get_if<std::string_view>(&value)) return string(*text);
    if (const auto* list = std::get_if<const List*>(&value)) return array(**list);
    if (const auto* dict = std::get_if<const Dict*>(&value)) return object(**dict);
    if (const auto* d = std::get_if<double>(&value); d != nullptr && !std::isfinite(*d)) {
      return out_->append(std::isnan(*d) ? "NaN" : (*d < 0 ? "-Infinity" : "Infinity"));
    }
    if (!as_number(value)) {
      fail({"a value of type ", type_name(value), " cannot be written as JSON"});
    }
    append_text(heap_, out_, value);
  }

 private:
  void string(std::string_view text) {
    out_->append("\"");
    append_escaped(out_, text, [&](std::string_view rest, std::string* escape) -> size_t {
      const auto byte = static_cast<unsigned char>(rest[0]);
      if (const char letter = known_escape(rest[0], "\"\"\\\\\nn\rr\tt\bb\ff"); letter != 0) {
        *escape = {'\\', letter};
      } else if (byte < 32) {
        *escape = hex_escape("\\u", byte, 4);
      } else if (options_.ascii && byte >= 128) {
        return utf16_escapes(rest, escape);
      } else {
        return 0;
      }
      return 1;
    });
    out_->append("\"");
  }

  static size_t utf16_escapes(std::string_view text, std::string* escape) {
    uint32_t code_point = 0;
    const int size = utf8_decode(text, &code_point);
    if (size == 0) code_point = 0xFFFD;
    if (code_point >= 0x10000) {
      *escape = hex_escape("\\u", 0xD800 + ((code_point - 0x10000) >> 10), 4) +
                hex_escape("\\u", 0xDC00 + (code_point & 0x3FF), 4);
    } else {
      *escape = hex_escape("\\u", code_point, 4);
    }
    return size == 0 ? 1 : static_cast<size_t>(size);
  }

  void new_line() {
    if (options_.indent < 0) return;
    out_->append("\n");
    out_->append(static_cast<size_t>(options_.indent) * level_, ' ');
  }

  void array(const List& list) {
    out_->append("[");
    ++level_;
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_->append(options_.item_separator);
      new_line();
      write(list.items[i]);
    }
    --level_;
    if (!list.items.empty()) new_line();
    out_->append("]");
  }

  void key(const Value& key) {
    if (is<std::string_view>(key)) return write(key);
    out_->append("\"");
    write(key);
    out_->append("\"");
  }

  void object(const Dict& dict) {
    auto items = dict.items;
    if (options_.sort_keys) {
      std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
        return compare(heap_, a.first, b.first) < 0;
      });
    }
    out_->append("{");
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_->append(options_.item_separator);
      new_line();
      key(items[i].first);
      out_->append(options_.key_separator);
      write(items[i].second);
    }
    --level_;
    if (!items.empty()) new_line();
    out_->append("}");
  }

  Heap& heap_;
  TextBuilder* out_;
  const JsonOptions& options_;
  size_t level_ = 0;
};

}  // namespace

void append_text(Heap& heap, TextBuilder* out, const Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return out->append(*text);
  if (is<Undefined>(value)) return;
  if (is<None>(value)) return out->append("None");
  if (const auto* b = std::get_if<bool>(&value)) return out->append(*b ? "True" : "False");
  if (const auto* i = std::get_if<int64_t>(&value)) return out->append(std::to_string(*i));
  if (const auto* d = std::get_if<double>(&value)) return out->append(float_text(*d));
  if (const auto* list = std::get_if<const List*>(&value)) return append_list(heap, out, **list);
  if (const auto* dict = std::get_if<const Dict*>(&value)) return append_dict(heap, out, **dict);
  if (const auto* names = std::get_if<Namespace*>(&value)) {
    out->append("<Namespace ");
    append_repr(heap, out, &(*names)->attributes);
    return out->append(">");
  }
  fail({"cannot write a value of type ", type_name(value)});
}

std::string_view to_text(Heap& heap, const Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return *text;
  TextBuilder out(heap);
  append_text(heap, &out, value);
  return out.finish();
}

void append_json(Heap& heap, TextBuilder* out, const Value& value, const JsonOptions& options) {
  JsonWriter(heap, out, options).write(value);
}

}  // namespace nibble::jinja
