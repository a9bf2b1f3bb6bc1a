// Reads the part of TOML that a configuration file needs: [sections], key = value with strings,
// numbers, booleans and arrays of those on one line, comments. Read next: configuration.h.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include "nibble/result.h"

namespace nibble::cli {

struct Setting {
  std::string section;  // "" above the first
  std::string key;
  std::vector<std::string> values;  // one, or an array's
  int line = 0;
};

// Error 65 with the line for anything else, and for a key that is given twice.
Result<std::vector<Setting>> read_toml(std::istream& input);

}  // namespace nibble::cli
