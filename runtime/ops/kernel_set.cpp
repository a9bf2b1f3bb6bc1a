#include "runtime/ops/kernel_set.h"

namespace nibble {

KernelSet::KernelSet(CpuFeatures features) : features_(features) {
  for (const Kernel& kernel : all_kernels()) {
    const auto op = static_cast<size_t>(kernel.entry->op);
    const auto format = static_cast<size_t>(kernel.entry->format);
    if (table_[op][format] == nullptr) {
      table_[op][format] = select_kernel(kernel.entry->op, kernel.entry->format, features);
    }
  }
}

}  // namespace nibble
