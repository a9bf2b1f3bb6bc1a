// Lined-up columns for reports on a terminal.
#pragma once

#include <string>
#include <vector>

namespace nibble::cli {

// Columns as wide as their widest cell, left-aligned, or right-aligned where `right` says so.
class Table {
 public:
  explicit Table(std::vector<bool> right) : right_(std::move(right)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // To standard output: lined up; as a table of Markdown; as comma-separated values (no cell may
  // hold a comma, a quote or a line break). The first row is the heading.
  void print() const;
  void print_markdown() const;
  void print_csv() const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace nibble::cli
