#include "tools/nibble/serve/integer_range.h"

#include <algorithm>
#include <vector>

namespace nibble::cli {
namespace {

std::string digits(char low, char high) {
  if (low == high) return std::string("\"") + low + "\"";
  return std::string("[") + low + "-" + high + "]";
}

std::string any_digits(size_t count) {
  return count == 0 ? "" : " [0-9]{" + std::to_string(count) + "}";
}

// Numbers of the same length as both, from `low` to `high`: the common beginning, then the digits
// between, then what the two edges allow.
void same_length(const std::string& prefix, const std::string& low, const std::string& high,
                 std::vector<std::string>* out) {
  size_t common = 0;
  while (common < low.size() && low[common] == high[common]) ++common;
  std::string begin = prefix;
  if (common > 0) begin.append("\"").append(low, 0, common).append("\" ");
  const std::string a = low.substr(common);
  const std::string b = high.substr(common);
  if (a.empty()) {
    out->push_back(begin);
    return;
  }
  const size_t rest = a.size() - 1;
  const bool low_is_whole = a.find_first_not_of('0', 1) == std::string::npos;
  const bool high_is_whole = b.find_first_not_of('9', 1) == std::string::npos;
  const char first = low_is_whole ? a[0] : static_cast<char>(a[0] + 1);
  const char last = high_is_whole ? b[0] : static_cast<char>(b[0] - 1);
  if (!low_is_whole) {
    same_length(begin + digits(a[0], a[0]) + " ", a.substr(1), std::string(rest, '9'), out);
  }
  if (first <= last) out->push_back(begin + digits(first, last) + any_digits(rest));
  if (!high_is_whole) {
    same_length(begin + digits(b[0], b[0]) + " ", std::string(rest, '0'), b.substr(1), out);
  }
}

// 0 <= low <= high.
void not_negative(const std::string& sign, int64_t low, int64_t high,
                  std::vector<std::string>* out) {
  while (true) {
    const std::string text = std::to_string(low);
    int64_t last = 9;
    for (size_t i = 1; i < text.size(); ++i) last = last * 10 + 9;
    last = std::min(last, high);
    same_length(sign, text, std::to_string(last), out);
    if (last == high) return;
    low = last + 1;
  }
}

}  // namespace

std::string integer_range(int64_t low, int64_t high) {
  std::vector<std::string> parts;
  if (low < 0) not_negative("\"-\" ", std::max<int64_t>(1, -high), -low, &parts);
  if (high >= 0) not_negative("", std::max<int64_t>(0, low), high, &parts);
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : " | ") + part;
  return out;
}

}  // namespace nibble::cli
