// What `nibble bench` has measured, and its forms: a table for people, Markdown, CSV, JSON.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nibble/result.h"

namespace nibble::cli {

struct BenchRow {
  std::string model;
  std::string test;  // pp512, tg128@d4096
  int threads = 0;
  double tokens_per_s = 0;
  double stddev = 0;
  // Of decoding: read per token, cache included; achieved; of the bandwidth measured just after.
  std::optional<double> bytes_per_token;
  std::optional<double> gb_per_s;
  std::optional<double> percent_of_limit;
  std::optional<double> old_tokens_per_s;  // of an earlier record, with --compare
};

nlohmann::ordered_json row_json(const BenchRow& row);

enum class RowForm { kTable, kMarkdown, kCsv };
void print_rows(const std::vector<BenchRow>& rows, RowForm form);

// An earlier `nibble bench --jsonl`. Error 66: cannot be read; 65: a line of it is no row.
class OldRows {
 public:
  static Result<OldRows> read(const std::string& path);
  // tokens/s of the same test with the same number of threads; the last line counts.
  std::optional<double> find(const BenchRow& row) const;

 private:
  std::vector<BenchRow> rows_;
};

}  // namespace nibble::cli
