#include "runtime/machine/cpu_list.h"

#include <algorithm>
#include <iterator>
#include <sstream>

namespace nibble {

std::optional<std::set<int>> parse_cpu_list(const std::string& text) {
  constexpr int kMost = 1 << 16;
  const size_t start = std::min(text.find_first_not_of(" \t\n"), text.size());
  const std::string list = text.substr(start, text.find_last_not_of(" \t\n") + 1 - start);
  if (list.find_first_not_of("0123456789,-") != std::string::npos) return std::nullopt;
  std::set<int> numbers;
  std::istringstream stream(list);
  for (int first; stream >> first;) {
    int last = first;
    if (stream.peek() == '-' && (stream.get(), !(stream >> last))) return std::nullopt;
    if (first < 0 || last < first || last >= kMost) return std::nullopt;
    for (int number = first; number <= last; ++number) numbers.insert(number);
    if (stream.peek() == ',') stream.get();
  }
  if (!stream.eof() || numbers.empty()) return std::nullopt;
  return numbers;
}

std::string cpu_list_text(const std::set<int>& numbers) {
  std::string text;
  for (auto first = numbers.begin(); first != numbers.end();) {
    auto last = first;
    while (std::next(last) != numbers.end() && *std::next(last) == *last + 1) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(*first);
    if (last != first) text.append("-").append(std::to_string(*last));
    first = std::next(last);
  }
  return text;
}

}  // namespace nibble
