// Numbers from a person: their whole text is read and their range checked, and the error names what
// was set, the value and the range.
#pragma once

#include <cstdint>
#include <string>

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

}  // namespace nibble::cli
