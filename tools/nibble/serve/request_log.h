// A line on stderr for each request, when its answer has ended: for people, or JSON for what reads
// logs. What was asked and answered does not stand there. Read next: exchange.h.
#pragma once

#include <functional>
#include <string>

#include "tools/nibble/serve/exchange.h"

namespace nibble::cli {

enum class LogFormat { kNone, kText, kJson };

// The line, with its end. `time`: UTC, of the end. 499: the client left before an answer began.
std::string log_line(const Exchange& exchange, LogFormat format, const std::string& time);

// For HttpHandlers::log; null for kNone. A line is written at once, by the thread that let go of
// the exchange last.
std::function<void(const Exchange&)> request_log(LogFormat format);

}  // namespace nibble::cli
