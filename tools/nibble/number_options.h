// Options of the command line whose values are checked as they are read (numbers.h).
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "tools/nibble/numbers.h"

namespace nibble::cli {

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
