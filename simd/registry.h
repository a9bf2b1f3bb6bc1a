// The one list of kernels. It drives selection, tests, benches and `nibble cpu --kernels`.
//
// CMake finds arch/<level>/*.cpp and generates the list; adding a kernel is adding one file.
// Thread-safe: everything here is constant after start-up. Read next: arch/README.md.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simd/abi.h"
#include "simd/cpu.h"

namespace nibble {

// One folder of arch/ that this binary contains.
struct IsaLevel {
  std::string_view name;  // "avx2"
  CpuFeatures required;   // what its kernels need
  int rank;               // preferred among usable levels when higher
};

struct Kernel {
  const KernelEntry* entry;
  const IsaLevel* level;
  std::string id() const;  // "matmul/q4_0/avx512vnni/rows16"
};

// The levels in this binary, by ascending rank. "scalar" is always the first.
std::span<const IsaLevel> isa_levels();

// Every kernel in this binary.
std::span<const Kernel> all_kernels();

// Names for messages and benches.
std::string_view op_name(Op op);
std::string_view layout_name(Layout layout);

// The features a machine with `detected` may use when level `isa` is forced: those of the level
// alone. Empty string or "auto": all. False (and `error` set) when the level is not in this binary
// or the machine lacks a feature; the message lists what can be chosen.
bool features_for_isa(std::string_view isa, CpuFeatures detected, CpuFeatures* features,
                      std::string* error);

// The best usable kernel: highest-ranked level whose required features are all in `features`.
// Null only where no level has such a kernel: the scalar level has all there are. `reason`
// (optional) says why it was chosen
// ("best of scalar, avx2, avx512vnni"; "avx512vnni needs avx512vnni").
const Kernel* select_kernel(Op op, Format format, CpuFeatures features,
                            std::string* reason = nullptr);

// Whether matrices of this format can be multiplied (and so its rows decoded).
bool has_kernels(Format format);

}  // namespace nibble
