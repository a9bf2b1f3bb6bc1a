#include "tools/nibble/toml.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace nibble::cli {
namespace {

// What is left of one line; the functions below eat from its front.
using Rest = std::string_view;

void skip_blanks(Rest* rest) {
  while (!rest->empty() && (rest->front() == ' ' || rest->front() == '\t')) rest->remove_prefix(1);
}

bool at_end(Rest* rest) {
  skip_blanks(rest);
  return rest->empty() || rest->front() == '#';
}

bool eat(Rest* rest, char c) {
  skip_blanks(rest);
  if (rest->empty() || rest->front() != c) return false;
  rest->remove_prefix(1);
  return true;
}

bool is_bare(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.' ||
         c == '+';
}

// Also numbers and booleans: whoever reads the value checks it.
bool eat_bare(Rest* rest, std::string* out) {
  skip_blanks(rest);
  const auto end = std::find_if_not(rest->begin(), rest->end(), is_bare);
  out->assign(rest->begin(), end);
  rest->remove_prefix(out->size());
  return !out->empty();
}

bool eat_string(Rest* rest, std::string* out) {
  const char quote = rest->front();
  rest->remove_prefix(1);
  out->clear();
  while (!rest->empty() && rest->front() != quote) {
    char c = rest->front();
    rest->remove_prefix(1);
    if (c == '\\' && quote == '"') {
      if (rest->empty()) return false;
      c = rest->front();
      rest->remove_prefix(1);
      if (c == 'n')
        c = '\n';
      else if (c == 't')
        c = '\t';
      else if (c != '"' && c != '\\')
        return false;
    }
    out->push_back(c);
  }
  return eat(rest, quote);
}

bool eat_value(Rest* rest, std::string* out) {
  skip_blanks(rest);
  if (rest->empty()) return false;
  const bool quoted = rest->front() == '"' || rest->front() == '\'';
  return quoted ? eat_string(rest, out) : eat_bare(rest, out);
}

bool eat_values(Rest* rest, std::vector<std::string>* out) {
  std::string value;
  if (!eat(rest, '[')) {
    if (!eat_value(rest, &value)) return false;
    out->push_back(value);
    return true;
  }
  while (!eat(rest, ']')) {
    if (!out->empty() && !eat(rest, ',')) return false;
    if (!out->empty() && eat(rest, ']')) return true;  // a comma may end the array
    if (!eat_value(rest, &value)) return false;
    out->push_back(value);
  }
  return true;
}

}  // namespace

Result<std::vector<Setting>> read_toml(std::istream& input) {
  std::vector<Setting> settings;
  std::string line;
  std::string section;
  for (int number = 1; std::getline(input, line); ++number) {
    const auto wrong = [&](const std::string& what) {
      return Error{ErrorCode::kData, "line " + std::to_string(number) + ": " + what};
    };
    if (!line.empty() && line.back() == '\r') line.pop_back();
    Rest rest = line;
    if (at_end(&rest)) continue;
    if (eat(&rest, '[')) {
      if (!eat_bare(&rest, &section) || !eat(&rest, ']') || !at_end(&rest)) {
        return wrong("expected [section]");
      }
      continue;
    }
    Setting setting{section, "", {}, number};
    if (!eat_bare(&rest, &setting.key) || !eat(&rest, '=') || !eat_values(&rest, &setting.values) ||
        !at_end(&rest)) {
      return wrong("expected key = value, with text in quotes");
    }
    const auto same = [&](const Setting& other) {
      return other.section == setting.section && other.key == setting.key;
    };
    if (std::any_of(settings.begin(), settings.end(), same)) {
      return wrong("'" + setting.key + "' is given twice");
    }
    settings.push_back(std::move(setting));
  }
  return settings;
}

}  // namespace nibble::cli
