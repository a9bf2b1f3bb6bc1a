// "did you mean": the known name nearest to a mistyped one.
#pragma once

#include <string>
#include <vector>

namespace nibble::cli {

// "; did you mean 'temp'?", or nothing if no name is near. Near: at most a third of the letters
// inserted, removed, changed or swapped.
std::string did_you_mean(const std::string& name, const std::vector<std::string>& known);

}  // namespace nibble::cli
