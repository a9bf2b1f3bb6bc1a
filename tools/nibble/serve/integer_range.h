// Whole numbers from `low` to `high` as GBNF, digit by digit. Read next: json_schema.cpp.
#pragma once

#include <cstdint>
#include <string>

namespace nibble::cli {

// low <= high, both within +-10^15.
std::string integer_range(int64_t low, int64_t high);

}  // namespace nibble::cli
