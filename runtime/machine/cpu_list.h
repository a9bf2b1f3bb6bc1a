// Lists of CPUs and memory nodes as Linux writes them: "0-3,8".
#pragma once

#include <optional>
#include <set>
#include <string>

namespace nibble {

// "0-3,8" -> {0, 1, 2, 3, 8}; blanks around it are ignored. Nothing when it is not such a list, is
// empty, or names a number of 65536 or more.
std::optional<std::set<int>> parse_cpu_list(const std::string& text);

// {0, 1, 2, 3, 8} -> "0-3,8"
std::string cpu_list_text(const std::set<int>& numbers);

}  // namespace nibble
