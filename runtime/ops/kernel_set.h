// The kernels one engine uses, chosen once: a table from (operation, format) to registry entry.
//
// Read next: simd/registry.h (how one is chosen), ops.h (who calls them).
#pragma once

#include <array>

#include "simd/registry.h"

namespace nibble {

// Immutable after construction, thread-safe.
class KernelSet {
 public:
  // The best kernel of each kind that may use `features`.
  explicit KernelSet(CpuFeatures features);

  const KernelEntry& entry(Op op, Format format = Format::kF32) const {
    return *kernel(op, format)->entry;
  }
  const KernelFn& fn(Op op, Format format = Format::kF32) const { return entry(op, format).fn; }

  // Null where an operation has no kernel of that format.
  const Kernel* kernel(Op op, Format format) const {
    return table_[static_cast<size_t>(op)][static_cast<size_t>(format)];
  }
  CpuFeatures features() const { return features_; }

 private:
  using Row = std::array<const Kernel*, static_cast<size_t>(Format::kCount)>;
  std::array<Row, static_cast<size_t>(Op::kCount)> table_{};
  CpuFeatures features_;
};

}  // namespace nibble
