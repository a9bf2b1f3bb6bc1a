// A picture of what `nibble bench` has measured: prompt speed over length, decode speed over depth.
#pragma once

#include <string>
#include <vector>

#include "nibble/result.h"
#include "tools/nibble/bench_rows.h"

namespace nibble::cli {

// Writes an SVG with a panel for each kind of test that `rows` has: a line for each number of
// threads (and depth, or answer length), bars of one standard deviation, and, dashed, the machine's
// limit as it was measured. Errors as AtomicFile's.
Result<void> write_plot(const std::string& path, const std::string& model,
                        const std::vector<BenchRow>& rows);

}  // namespace nibble::cli
