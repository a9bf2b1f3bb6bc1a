#include "tools/nibble/bench_rows.h"

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "tools/nibble/table.h"

namespace nibble::cli {
namespace {

std::string fixed(std::optional<double> value, int digits) {
  if (!value) return "-";
  char text[48];
  std::snprintf(text, sizeof(text), "%.*f", digits, *value);
  return text;
}

std::optional<double> divided(std::optional<double> value, double by) {
  if (value) *value /= by;
  return value;
}

}  // namespace

nlohmann::ordered_json row_json(const BenchRow& row) {
  nlohmann::ordered_json json = {{"model", row.model},
                                 {"test", row.test},
                                 {"tokens_per_s", row.tokens_per_s},
                                 {"stddev", row.stddev},
                                 {"bytes_per_token", nullptr},
                                 {"gb_per_s", nullptr},
                                 {"gmac_per_s", nullptr},
                                 {"percent_of_limit", nullptr},
                                 {"threads", row.threads}};
  if (row.bytes_per_token) json["bytes_per_token"] = *row.bytes_per_token;
  if (row.gb_per_s) json["gb_per_s"] = *row.gb_per_s;
  if (row.gmac_per_s) json["gmac_per_s"] = *row.gmac_per_s;
  if (row.percent_of_limit) json["percent_of_limit"] = *row.percent_of_limit;
  if (row.throttled) json["throttled"] = true;
  if (row.old_tokens_per_s) json["old_tokens_per_s"] = *row.old_tokens_per_s;
  return json;
}

void print_rows(const std::vector<BenchRow>& rows, RowForm form) {
  const bool compared = std::any_of(rows.begin(), rows.end(),
                                    [](const BenchRow& row) { return row.old_tokens_per_s; });
  std::vector<std::string> titles = {"test",     "threads", "tokens/s", "+-",
                                     "MB/token", "GB/s",    "GMAC/s",   "% of limit"};
  if (compared) titles.insert(titles.end(), {"before", "ratio"});
  std::vector<bool> right(titles.size(), true);
  right[0] = false;
  Table table(std::move(right));
  table.add(std::move(titles));
  for (const BenchRow& row : rows) {
    std::vector<std::string> cells = {row.test + (row.throttled ? " (throttled)" : ""),
                                      std::to_string(row.threads),
                                      fixed(row.tokens_per_s, 2),
                                      fixed(row.stddev, 2),
                                      fixed(divided(row.bytes_per_token, 1e6), 1),
                                      fixed(row.gb_per_s, 2),
                                      fixed(row.gmac_per_s, 0),
                                      fixed(row.percent_of_limit, 0)};
    if (compared) {
      std::optional<double> ratio;
      if (row.old_tokens_per_s) ratio = row.tokens_per_s / *row.old_tokens_per_s;
      cells.insert(cells.end(), {fixed(row.old_tokens_per_s, 2), fixed(ratio, 3)});
    }
    table.add(std::move(cells));
  }
  switch (form) {
    case RowForm::kTable:
      return table.print();
    case RowForm::kMarkdown:
      return table.print_markdown();
    case RowForm::kCsv:
      return table.print_csv();
  }
}

Result<OldRows> OldRows::read(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Error{ErrorCode::kNoInput, path + ": cannot be read"};
  OldRows old;
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const auto is = [&](const char* key, auto test) {
      return json.is_object() && json.contains(key) && (json[key].*test)();
    };
    if (!is("test", &nlohmann::json::is_string) ||
        !is("threads", &nlohmann::json::is_number_integer) ||
        !is("tokens_per_s", &nlohmann::json::is_number) || !(json["tokens_per_s"] > 0.0)) {
      return Error{ErrorCode::kData, path + ", line " + std::to_string(number) +
                                         ": not a row of nibble bench --jsonl"};
    }
    BenchRow row;
    row.test = json["test"];
    row.threads = json["threads"];
    row.tokens_per_s = json["tokens_per_s"];
    old.rows_.push_back(std::move(row));
  }
  if (file.bad()) return Error{ErrorCode::kNoInput, path + ": cannot be read"};
  return old;
}

std::optional<double> OldRows::find(const BenchRow& row) const {
  const auto same = [&](const BenchRow& old) {
    return old.test == row.test && old.threads == row.threads;
  };
  const auto found = std::find_if(rows_.rbegin(), rows_.rend(), same);
  if (found == rows_.rend()) return std::nullopt;
  return found->tokens_per_s;
}

}  // namespace nibble::cli
