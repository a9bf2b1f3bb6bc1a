#include "tools/nibble/number_options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <system_error>

namespace nibble::cli {
namespace {

template <typename T>
bool parse_all(const std::string& text, T* out) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *out);
  return error == std::errc() && stop == end;
}

std::string show(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

Error out_of_range(const std::string& name, const std::string& text, const std::string& kind,
                   const std::string& min, const std::string& max) {
  return {ErrorCode::kUsage,
          name + ": '" + text + "' is not a " + kind + " from " + min + " to " + max};
}

}  // namespace

Result<int64_t> parse_whole(const std::string& name, const std::string& text, WholeRange range) {
  int64_t value = 0;
  if (parse_all(text, &value) && value >= range.min && value <= range.max) return value;
  return out_of_range(name, text, "whole number", std::to_string(range.min),
                      std::to_string(range.max));
}

Result<double> parse_real(const std::string& name, const std::string& text, RealRange range) {
  double value = 0;
  // NaN is in no range: both comparisons are false.
  if (parse_all(text, &value) && value >= range.min && value <= range.max) return value;
  return out_of_range(name, text, "number", show(range.min), show(range.max));
}

Result<uint64_t> parse_seed(const std::string& name, const std::string& text) {
  uint64_t value = 0;
  if (parse_all(text, &value)) return value;
  return out_of_range(name, text, "whole number", "0",
                      std::to_string(std::numeric_limits<uint64_t>::max()));
}

Result<uint64_t> parse_bytes(const std::string& name, const std::string& text) {
  constexpr std::string_view kUnits = "KMGT";
  constexpr double kLeast = 1 << 20;
  constexpr double kMost = 1e15;
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [number_end, error] = std::from_chars(text.data(), end, value);
  const char* rest = number_end;
  while (rest != end && *rest == ' ') ++rest;
  const auto is = [&](char letter) { return rest != end && (*rest | 0x20) == letter; };
  if (rest != end) {
    const size_t unit = kUnits.find(static_cast<char>(*rest & ~0x20));
    if (unit != std::string_view::npos) {
      value *= std::pow(1024.0, static_cast<double>(unit + 1));
      ++rest;
      if (is('i')) ++rest;
    }
  }
  if (is('b')) ++rest;
  if (error == std::errc() && rest == end && value >= kLeast && value <= kMost) {
    return static_cast<uint64_t>(value);
  }
  return Error{ErrorCode::kUsage,
               name + ": '" + text + "' is not a size from 1M up, such as 8G or 512M"};
}

CLI::Option* add_whole(CLI::App* app, const std::string& names, std::optional<int64_t>* out,
                       WholeRange range, const std::string& description) {
  return add_parsed(app, names, out, description,
                    [range](const std::string& name, const std::string& text) {
                      return parse_whole(name, text, range);
                    });
}

}  // namespace nibble::cli
