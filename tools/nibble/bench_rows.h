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
  int64_t tokens = 0;  // of the prompt or the answer
  int64_t depth = 0;   // in the context before
  bool decode = false;
  // Of decoding: read per token, cache included, and achieved.
  std::optional<double> bytes_per_token;
  std::optional<double> gb_per_s;
  // Of prompts: 10^9 int8 multiply-accumulates a second, those of the layers' matrices alone.
  std::optional<double> gmac_per_s;
  // Of the limit measured just after: read bandwidth (decoding), int8 arithmetic (prompts).
  std::optional<double> percent_of_limit;
  bool throttled = false;                  // some run of it, by heat or by too weak a power supply
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
