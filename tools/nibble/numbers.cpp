#include "tools/nibble/numbers.h"

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

CLI::Option* add_whole(CLI::App* app, const std::string& names, std::optional<int64_t>* out,
                       WholeRange range, const std::string& description) {
  return add_parsed(app, names, out, description,
                    [range](const std::string& name, const std::string& text) {
                      return parse_whole(name, text, range);
                    });
}

}  // namespace nibble::cli
