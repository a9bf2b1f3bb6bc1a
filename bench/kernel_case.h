// What kernels_bench runs: one kernel on one size of operands.
//
// cases_for() makes all cases of a kernel; adding an op means adding it there: the compiler warns
// if it is forgotten. Read next: matmul_case.cpp, row_case.cpp, attention_case.cpp.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/operands.h"
#include "nibble/result.h"
#include "runtime/machine/thread_team.h"
#include "simd/registry.h"

namespace nibble {

// What one call does, all threads together.
struct Work {
  double macs = 0;       // multiply-accumulates; 0: not counted
  double bytes = 0;      // of the weights, of the keys and values, of all that a row kernel touches
  double elements = 0;   // weights, or elements of the row or of the keys and values
  bool weights = false;  // elements are weights
  bool int8 = false;     // the level's int8 peak is the limit when nothing comes from memory
};

// Not thread-safe, except that all workers of the team call run() at the same time.
class KernelCase {
 public:
  virtual ~KernelCase() = default;

  // Makes the operands, each part by the worker that will read it. Error 71: out of memory.
  virtual Result<void> prepare(ThreadTeam* team) = 0;

  // Whether the kernel gives what the scalar one does, bit for bit. Runs it once.
  virtual bool equals_scalar() = 0;

  // Worker `worker`'s part of the calls first .. first + calls - 1, of which each takes the next
  // piece of memory in a cold case.
  virtual void run(int worker, size_t first, size_t calls) = 0;

  // Calls to time at once, so that starting them does not count.
  virtual size_t calls_at_once() const { return 1; }

  virtual Work work() const = 0;
};

struct CaseSpec {
  std::string name;  // "gemv/q4_0/avx2/n6912/k1152/cold"
  bool cold = false;
  // Weights fill cold_bytes, all threads together; 0 unless cold.
  std::function<std::unique_ptr<KernelCase>(size_t cold_bytes, int threads)> make;
};

// A matrix shape to run; without a format for all kernels, else for those of the format.
struct MatmulShape {
  Shape shape;
  std::optional<Format> format;
  bool wanted = false;  // named by the user: run even where it takes minutes

  bool operator==(const MatmulShape&) const = default;
};

// All cases of a kernel; for a matmul of a format that no shape has, none.
std::vector<CaseSpec> cases_for(const Kernel& kernel, const std::vector<MatmulShape>& shapes);

// Its parts.
std::vector<CaseSpec> matmul_cases(const Kernel& kernel, const std::vector<MatmulShape>& shapes);
std::vector<CaseSpec> row_cases(const Kernel& kernel);
std::vector<CaseSpec> attention_cases(const Kernel& kernel);

// "f32/avx2", the middle of every name.
std::string format_and_level(const Kernel& kernel);

}  // namespace nibble
