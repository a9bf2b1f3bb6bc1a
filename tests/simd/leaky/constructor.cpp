// Leaks on purpose: a constructor that would run before the CPU is asked. Only for the control of
// check_objects.sh.
#include <stdlib.h>

#include "simd/abi.h"

namespace nibble {
namespace {
const int kFromOutside = rand();
void scale(const UnaryArgs* a) {
  for (size_t i = 0; i < a->n; ++i) a->y[i] *= static_cast<float>(kFromOutside);
}
constexpr KernelEntry kEntries[] = {
    {Op::kScale, Format::kF32, Activation::kNone, Layout::kRowMajor, 1, {.unary = scale}, "scale"}};
}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(constructor, nibble::kEntries);
