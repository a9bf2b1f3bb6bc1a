#include "runtime/text/jinja_lexer.h"

#include <array>
#include <charconv>

#include "runtime/text/jinja_value.h"
#include "runtime/text/utf8.h"

namespace nibble::jinja {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";

bool is_space(char c) {
  return kSpace.find(c) != std::string_view::npos;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Longest first where one is the start of another.
constexpr std::array<std::string_view, 25> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ","};

class Lexer {
 public:
  Lexer(std::string_view source, std::deque<std::string>* strings)
      : source_(source), strings_(strings) {}

  std::vector<Token> run() {
    while (position_ < source_.size()) {
      const size_t tag = find_tag();
      if (tag == std::string_view::npos) {
        add_text(source_.substr(position_));
        position_ = source_.size();
        break;
      }
      open_tag(tag);
    }
    add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void error(Parts parts) const {
    fail({"line ", std::to_string(line_), ": ", concatenate(parts)});
  }
  std::string_view rest() const { return source_.substr(position_); }
  void advance(size_t count) {
    for (size_t i = 0; i < count; ++i) line_ += source_[position_ + i] == '\n';
    position_ += count;
  }
  void add(TokenKind kind, std::string_view text) { tokens_.push_back({kind, text, line_, 0, 0}); }
  void add_text(std::string_view text) {
    if (!text.empty()) add(TokenKind::kText, text);
  }

  size_t find_tag() const {
    for (size_t i = position_; i + 1 < source_.size(); ++i) {
      if (source_[i] != '{') continue;
      const char c = source_[i + 1];
      if (c == '{' || c == '%' || c == '#') return i;
    }
    return std::string_view::npos;
  }

  // Adds the text before a tag, its right end stripped as the tag wants it.
  void text_before(size_t tag, char sign, bool output) {
    std::string_view text = source_.substr(position_, tag - position_);
    if (sign == '-') {
      const size_t last = text.find_last_not_of(kSpace);
      text = text.substr(0, last == std::string_view::npos ? 0 : last + 1);
    } else if (sign != '+' && !output) {
      // lstrip_blocks: a tag alone before it on its line takes its indentation away.
      const size_t start = text.rfind('\n') + 1;  // npos + 1 == 0
      const bool at_line_start = start > 0 || line_starting_;
      if (at_line_start && text.find_first_not_of(kSpace, start) == std::string_view::npos) {
        text = text.substr(0, start);
      }
    }
    add_text(text);
    advance(tag - position_);
  }

  void open_tag(size_t tag) {
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    const bool has_sign = sign == '-' || sign == '+';
    text_before(tag, sign, kind == '{');
    advance(has_sign ? 3 : 2);
    if (kind == '#') return comment();
    if (kind == '%' && raw_begin()) return raw();
    add(kind == '{' ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, "");
    expression(kind == '{' ? "}}" : "%}", kind != '{');
    add(kind == '{' ? TokenKind::kOutputEnd : TokenKind::kBlockEnd, "");
  }

  // Takes the end of a tag with its sign and the white space it removes.
  void close_tag(bool trim_newline) {
    const char sign = source_[position_];
    const bool has_sign = sign == '-' || sign == '+';
    advance(has_sign ? 3 : 2);
    if (sign == '-') {
      while (position_ < source_.size() && is_space(source_[position_])) advance(1);
    } else if (!has_sign && trim_newline && rest().starts_with('\n')) {
      advance(1);
    }
    line_starting_ = source_[position_ - 1] == '\n';
  }
  // Whether the tag ends here.
  bool at_end(std::string_view end, bool plus) const {
    std::string_view text = rest();
    if (text.starts_with('-') || (plus && text.starts_with('+'))) text.remove_prefix(1);
    return text.starts_with(end);
  }

  void comment() {
    size_t end = source_.find("#}", position_);
    if (end == std::string_view::npos) error({"comment without its end: '#}' is missing"});
    if (end > position_ && (source_[end - 1] == '-' || source_[end - 1] == '+')) --end;
    advance(end - position_);
    close_tag(true);
  }

  size_t skip_space(size_t at) const {
    while (at < source_.size() && is_space(source_[at])) ++at;
    return at;
  }
  bool raw_begin() {
    size_t at = skip_space(position_);
    if (!source_.substr(at).starts_with("raw")) return false;
    at = skip_space(at + 3);
    const std::string_view end = source_.substr(at);
    if (!end.starts_with("%}") && !end.starts_with("-%}")) return false;
    advance(at - position_);
    close_tag(false);
    return true;
  }
  void raw() {
    for (size_t tag = source_.find("{%", position_); tag != std::string_view::npos;
         tag = source_.find("{%", tag + 2)) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
      size_t at = skip_space(tag + (sign == '-' || sign == '+' ? 3 : 2));
      if (!source_.substr(at).starts_with("endraw")) continue;
      at = skip_space(at + 6);
      std::string_view end = source_.substr(at);
      if (end.starts_with('-') || end.starts_with('+')) end.remove_prefix(1);
      if (!end.starts_with("%}")) continue;
      text_before(tag, sign, false);
      advance(at - position_);
      return close_tag(true);
    }
    error({"raw block without its end: '{% endraw %}' is missing"});
  }

  void expression(std::string_view end, bool block) {
    std::string open;  // brackets; inside them "}}" closes braces, not the tag
    for (;;) {
      while (position_ < source_.size() && is_space(source_[position_])) advance(1);
      if (position_ >= source_.size()) error({"tag without its end: '", end, "'"});
      if (open.empty() && at_end(end, block)) return close_tag(block);
      const char c = source_[position_];
      if (is_name_start(c)) {
        name();
      } else if (is_digit(c)) {
        number();
      } else if (c == '\'' || c == '"') {
        string(c);
      } else {
        symbol(&open);
      }
    }
  }

  void name() {
    size_t size = 1;
    while (size < rest().size() && (is_name_start(rest()[size]) || is_digit(rest()[size]))) ++size;
    add(TokenKind::kName, rest().substr(0, size));
    advance(size);
  }

  void number() {
    const std::string_view text = rest();
    size_t size = 0;
    const auto digits = [&] {
      while (size < text.size() && is_digit(text[size])) ++size;
    };
    digits();
    bool is_float = false;
    if (size + 1 < text.size() && text[size] == '.' && is_digit(text[size + 1])) {
      is_float = true;
      ++size;
      digits();
    }
    if (size < text.size() && (text[size] == 'e' || text[size] == 'E')) {
      size_t at = size + 1;
      if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
      if (at < text.size() && is_digit(text[at])) {
        is_float = true;
        size = at;
        digits();
      }
    }
    add(is_float ? TokenKind::kFloat : TokenKind::kInteger, text.substr(0, size));
    Token& token = tokens_.back();
    const auto result = is_float ? std::from_chars(text.data(), text.data() + size, token.number)
                                 : std::from_chars(text.data(), text.data() + size, token.integer);
    if (result.ec != std::errc()) error({"number out of range: ", text.substr(0, 40)});
    advance(size);
  }

  void string(char quote) {
    size_t size = 1;
    bool escaped = false;
    const std::string_view text = rest();
    while (size < text.size() && text[size] != quote) {
      escaped |= text[size] == '\\';
      size += text[size] == '\\' ? 2 : 1;
    }
    if (size >= text.size()) error({"string without its end quote"});
    std::string_view value = text.substr(1, size - 1);
    if (escaped) value = strings_->emplace_back(unescape(value));
    add(TokenKind::kString, value);
    advance(size + 1);
  }

  // Python's escapes; an unknown one stays as it is written.
  std::string unescape(std::string_view text) const {
    static constexpr std::string_view kFrom = "abfnrtv\\'\"";
    static constexpr std::string_view kTo = "\a\b\f\n\r\t\v\\'\"";
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\' || i + 1 == text.size()) {
        out += text[i];
        continue;
      }
      const char c = text[++i];
      const size_t known = kFrom.find(c);
      const int hex = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
      if (known != std::string_view::npos) {
        out += kTo[known];
      } else if (hex != 0) {
        utf8_append(code_point(text.substr(i + 1, hex), hex, 16), &out);
        i += hex;
      } else if (c >= '0' && c <= '7') {
        size_t size = 1;
        while (size < 3 && i + size < text.size() && text[i + size] >= '0' && text[i + size] <= '7')
          ++size;
        utf8_append(code_point(text.substr(i, size), size, 8), &out);
        i += size - 1;
      } else if (c != '\n') {
        out += {'\\', c};
      }
    }
    return out;
  }
  uint32_t code_point(std::string_view digits, size_t size, int base) const {
    uint32_t value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (digits.size() != size || result.ec != std::errc() ||
        result.ptr != digits.data() + digits.size() || value > 0x10FFFF ||
        (value >= 0xD800 && value < 0xE000)) {
      error({"escape in a string that is no character: ", digits});
    }
    return value;
  }

  void symbol(std::string* open) {
    static constexpr std::string_view kOpening = "([{";
    static constexpr std::string_view kClosing = ")]}";
    for (const std::string_view op : kOperators) {
      if (!rest().starts_with(op)) continue;
      if (const size_t at = kOpening.find(op); at != std::string_view::npos) {
        open->push_back(kClosing[at]);
      } else if (kClosing.find(op) != std::string_view::npos) {
        if (open->empty() || open->back() != op[0]) error({"unexpected '", op, "'"});
        open->pop_back();
      }
      add(TokenKind::kOperator, rest().substr(0, op.size()));
      return advance(op.size());
    }
    error({"unexpected character in a tag, byte ",
           std::to_string(static_cast<unsigned char>(source_[position_]))});
  }

  const std::string_view source_;
  std::deque<std::string>* strings_;
  std::vector<Token> tokens_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

std::string normalize_source(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      out += '\n';
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

std::vector<Token> tokenize(std::string_view source, std::deque<std::string>* strings) {
  return Lexer(source, strings).run();
}

}  // namespace nibble::jinja
