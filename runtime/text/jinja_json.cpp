#include "runtime/text/jinja_json.h"

#include <cerrno>
#include <cstdlib>
#include <string>

#include "runtime/text/utf8.h"

namespace nibble::jinja {
namespace {

class JsonReader {
 public:
  JsonReader(Heap& heap, std::string_view text) : heap_(heap), text_(text) {}

  Value whole() {
    const Value value = take_value();
    skip_space();
    if (at_ != text_.size()) wrong("something follows the value");
    return value;
  }

 private:
  [[noreturn]] void wrong(std::string_view what) const {
    fail({"not JSON at byte ", std::to_string(at_), ": ", what});
  }

  Value take_value() {
    const DepthGuard guard(heap_);
    heap_.step();
    skip_space();
    switch (peek()) {
      case '{':
        return take_object();
      case '[':
        return take_list();
      case '"':
        return heap_.text(take_text());
      case 't':
        return take_word("true", Value(true));
      case 'f':
        return take_word("false", Value(false));
      case 'n':
        return take_word("null", Value(None{}));
      default:
        return take_number();
    }
  }

  Value take_object() {
    Dict* dict = heap_.dict();
    ++at_;
    if (take('}')) return static_cast<const Dict*>(dict);
    do {
      skip_space();
      if (peek() != '"') wrong("a key is missing");
      const std::string_view key = heap_.text(take_text());
      if (!take(':')) wrong("':' is missing");
      heap_.charge(sizeof(dict->items[0]));
      // Not set(): that looks for the key first, in linear time.
      dict->items.emplace_back(key, take_value());
    } while (take(','));
    if (!take('}')) wrong("'}' is missing");
    return static_cast<const Dict*>(dict);
  }

  Value take_list() {
    List* list = heap_.list();
    ++at_;
    if (take(']')) return static_cast<const List*>(list);
    do {
      heap_.append(list, take_value());
    } while (take(','));
    if (!take(']')) wrong("']' is missing");
    return static_cast<const List*>(list);
  }

  std::string take_text() {
    std::string out;
    ++at_;
    while (peek() != '"') {
      if (at_ >= text_.size()) wrong("a text has no end");
      if (text_[at_] == '\\') {
        ++at_;
        take_escape(&out);
      } else {
        out += text_[at_++];
      }
    }
    ++at_;
    heap_.step_bytes(out.size());
    return out;
  }

  void take_escape(std::string* out) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kBytes = "\"\\/\b\f\n\r\t";
    const char name = peek();
    ++at_;
    if (const size_t known = kNames.find(name); known != std::string_view::npos && name != '\0') {
      *out += kBytes[known];
      return;
    }
    if (name != 'u') wrong("an unknown escape");
    uint32_t code = take_unit();
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      code = 0x10000 + ((code - 0xD800) << 10) + ((take_unit() - 0xDC00) & 0x3FF);
    }
    if (code >= 0x20 && code < 0x7F) wrong("an escape that is not needed");
    if (code >= 0xD800 && code < 0xE000) code = 0xFFFD;
    utf8_append(code, out);
  }

  uint32_t take_unit() {
    uint32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = peek();
      ++at_;
      const bool is_digit = c >= '0' && c <= '9';
      const char letter = static_cast<char>(c | 0x20);
      if (!is_digit && (letter < 'a' || letter > 'f')) wrong("an escape of other than four digits");
      code = code * 16 + static_cast<uint32_t>(is_digit ? c - '0' : letter - 'a' + 10);
    }
    return code;
  }

  Value take_number() {
    const size_t end = text_.find_first_not_of("+-.0123456789eE", at_);
    const std::string number(text_.substr(at_, end - at_));
    char* behind = nullptr;
    const bool is_whole = number.find_first_of(".eE") == std::string::npos;
    errno = 0;
    const long long whole = is_whole ? std::strtoll(number.c_str(), &behind, 10) : 0;
    if (is_whole && !number.empty() && *behind == '\0' && errno == 0) {
      at_ += number.size();
      return static_cast<int64_t>(whole);
    }
    const double real = std::strtod(number.c_str(), &behind);
    if (number.empty() || *behind != '\0') wrong("a value is missing");
    at_ += number.size();
    return real;
  }

  Value take_word(std::string_view word, Value value) {
    if (text_.substr(at_, word.size()) != word) wrong("a value is missing");
    at_ += word.size();
    return value;
  }

  bool take(char c) {
    skip_space();
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) < 4) ++at_;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  Heap& heap_;
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Result<Value> read_json(Heap& heap, std::string_view json) {
  try {
    return JsonReader(heap, json).whole();
  } catch (const Failure& failure) {
    return Error{ErrorCode::kUsage, failure.message};
  }
}

}  // namespace nibble::jinja
