// A text from a file or a pipe, for prompts and for judging models.
#pragma once

#include <cstddef>
#include <string>

#include "nibble/result.h"

namespace nibble::cli {

// All of `path`, or of standard input if it is "-". One newline at the end is dropped, as the
// shell's $(...) does. A FIFO is waited for; signals end it. Needs install_signal_handlers().
// Errors: 66 and 77 cannot be read; 64 more than `mebibytes_max`; 130.
Result<std::string> read_text(const std::string& path, size_t mebibytes_max);

}  // namespace nibble::cli
