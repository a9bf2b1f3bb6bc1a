#include "tools/nibble/table.h"

#include <algorithm>
#include <cstdio>

namespace nibble::cli {

void Table::print() const {
  constexpr size_t kWidest = 60;
  std::vector<size_t> widths(right_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i + 1 < row.size() || (i < row.size() && right_[i]); ++i) {
      widths[i] = std::max(widths[i], std::min(row[i].size(), kWidest));
    }
  }
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string fill(widths[i] - std::min(widths[i], row[i].size()), ' ');
      line += "  " + (right_[i] ? fill + row[i] : row[i] + fill);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    std::printf("%s\n", line.c_str());
  }
}

void Table::print_markdown() const {
  for (size_t n = 0; n < rows_.size(); ++n) {
    for (const std::string& cell : rows_[n]) std::printf("| %s ", cell.c_str());
    std::puts("|");
    if (n != 0) continue;
    for (const bool right : right_) std::fputs(right ? "|---:" : "|---", stdout);
    std::puts("|");
  }
}

void Table::print_csv() const {
  for (const auto& row : rows_) {
    const char* between = "";
    for (const std::string& cell : row) {
      std::printf("%s%s", between, cell.c_str());
      between = ",";
    }
    std::puts("");
  }
}

}  // namespace nibble::cli
