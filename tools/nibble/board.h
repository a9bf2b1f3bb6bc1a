// The machine as a reader of figures has to know it: clock, heat, power, and the block that
// `nibble bench --report` prints to be pasted. Read next: runtime/machine/thermals.h.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "nibble/nibble.h"
#include "runtime/machine/thermals.h"

namespace nibble::cli {

// Keys "governor", "mhz", "mhz_max", "celsius", "firmware_flags", "throttled", "throttling"; null
// where the system does not tell.
nlohmann::json thermals_json(const Thermals& thermals);

// "1500 of 2400 MHz, governor ondemand"
std::string clock_text(const Thermals& thermals);
// "61.3 C"; "unknown"
std::string temperature_text(const Thermals& thermals);
// "none", "under-voltage (earlier: throttled)"; "none told" where no firmware answers
std::string throttling_text(const Thermals& thermals);

// A Markdown table: board, system, build, levels, model, and both states of clock and heat.
std::string board_report(const Engine& engine, const Model& model, const Thermals& before,
                         const Thermals& after);

}  // namespace nibble::cli
