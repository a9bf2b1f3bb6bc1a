// Numbers from a person: their whole text is read and their range checked, and the error names what
// was set, the value and the range.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "nibble/result.h"

namespace nibble::cli {

struct WholeRange {
  int64_t min;
  int64_t max;
};
struct RealRange {
  double min;
  double max;
};

// `name` is what the message calls it ("-n", "temp").
Result<int64_t> parse_whole(const std::string& name, const std::string& text, WholeRange range);
Result<double> parse_real(const std::string& name, const std::string& text, RealRange range);
Result<uint64_t> parse_seed(const std::string& name, const std::string& text);
// "8G", "1.5 GiB", "512M", "2000000": bytes, K, M, G and T powers of 1024; at least 1 MiB.
Result<uint64_t> parse_bytes(const std::string& name, const std::string& text);

// Adds an option whose text `parse(name, text)` makes a Result<T>; `names` as CLI11 takes them
// ("-n,--max-tokens"). Given twice, the last counts.
template <typename T, typename Parse>
CLI::Option* add_parsed(CLI::App* app, const std::string& names, std::optional<T>* out,
                        const std::string& description, Parse parse) {
  std::string shown = names;  // usage_error.cpp finds the option again by "--long-name:"
  if (const size_t comma = shown.find(','); comma != std::string::npos)
    shown.insert(comma + 1, " ");
  CLI::callback_t read = [out, shown, parse = std::move(parse)](const CLI::results_t& results) {
    const Result<T> value = parse(shown, results.back());
    if (!value) throw CLI::ValidationError(value.error().message);
    *out = *value;
    return true;
  };
  CLI::Option* option = app->add_option(names, std::move(read), description);
  option->type_size(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  return option->type_name("N");
}

// The same for a whole number in a range.
CLI::Option* add_whole(CLI::App* app, const std::string& names, std::optional<int64_t>* out,
                       WholeRange range, const std::string& description);

}  // namespace nibble::cli
