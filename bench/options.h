// The command line of kernels_bench: its own flags; all others are Google Benchmark's.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "bench/operands.h"
#include "nibble/result.h"

namespace nibble {

struct Options {
  std::vector<Shape> shapes;  // empty: those of the model, or the usual ones
  std::string model;          // a GGUF file; empty: none
  int threads = 1;
  size_t cold_mib = 0;  // 0: by the last-level cache
  std::string jsonl;    // a file; empty: none
  bool help = false;
};

// Takes our own flags out of argv; what is left is for Google Benchmark. Error 64 names the flag
// and says what it takes.
Result<Options> parse_options(int* argc, char** argv);

// At most 80 columns.
const char* help_text();

}  // namespace nibble
