// The machine's two limits, measured: how fast memory is read and how fast int8 is multiplied.
//
// Every figure of speed is told as a share of one of them. Each call starts its own threads, takes
// a fraction of a second and depends on what else the machine does: measure in the same minutes as
// what you compare. Read next: tools' `nibble cpu` and bench/README.md, which print them.
#pragma once

#include <cstddef>

#include "nibble/result.h"
#include "simd/cpu.h"

namespace nibble {

inline constexpr size_t kProbeBytes = size_t{256} << 20;

// GB/s (10^9) that `threads` >= 1 threads together read from memory: the best of several passes
// over `bytes`, which must be well above the last-level cache to tell about memory. At most about
// 0.3 s. Error 71 when the memory cannot be had.
Result<double> probe_read_gb_per_s(int threads, size_t bytes = kProbeBytes);

// 10^9 int8 multiply-accumulates per second of `threads` >= 1 threads together by the best kernel
// that `features` allow, from registers alone. About 50 ms on a machine that is not busy.
double probe_int8_gmac_per_s(int threads, CpuFeatures features);

}  // namespace nibble
