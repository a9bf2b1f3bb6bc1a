// Which instruction-set level and how many threads are fastest here, found by trying: for machines
// whose defaults are wrong, as where two threads read memory faster than four, or a wide level
// lowers the clock.
//
// Results of a model do not depend on either (ARCHITECTURE, "The same numbers everywhere"). Read
// next: tools/nibble/tuning_file.h (where the answer is kept).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"
#include "runtime/machine/topology.h"
#include "simd/cpu.h"

namespace nibble {

// One candidate, with the best of several passes of Q4_0 products.
struct TuneTrial {
  std::string isa;  // the level of the kernel
  int threads = 0;
  double decode_gb_per_s = 0;    // of weights, for one token
  double prompt_gmac_per_s = 0;  // for 128 tokens
};

struct TuneChoice {
  std::string isa;  // empty: the default, the best that the machine has
  int threads = 0;  // for tokens
  int prompt_threads = 0;
};

// Thread counts worth trying: few in all, from 1 to what this process may use.
std::vector<int> tune_thread_counts(const Topology& topology);

// Every usable level with Q4_0 kernels of its own, the default first and not more than three, with
// every thread count. Takes some seconds and 150 MiB; returns what is done when `go_on` says false.
// Error 71: no memory or threads.
Result<std::vector<TuneTrial>> run_tune_trials(const Topology& topology, CpuFeatures features,
                                               const std::function<bool()>& go_on);

// `usual_threads`, unless a count is faster by 5 %; then the fewest within 3 % of the best. Another
// level than that of the first trial on the same terms (the geometric mean of decode and prompt).
// Less is noise: a machine that was busy meanwhile shall not lose its usual choice.
TuneChoice choose_tuning(std::span<const TuneTrial> trials, int usual_threads);

}  // namespace nibble
