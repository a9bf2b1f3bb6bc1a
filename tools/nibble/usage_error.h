// What a person reads after a mistyped command line: what is wrong and what was probably meant.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/nibble/configuration.h"

namespace nibble::cli {

// Prints help, version or the error and gives the exit code: 0, 64, or 66 for a missing file.
int report_parse_error(const CLI::App& app, const CLI::ParseError& error,
                       const Configuration& configuration);

}  // namespace nibble::cli
