// Leaks on purpose: an inline function with external linkage that stays out of line, as a library's
// would. Only for the control of check_objects.sh.
#include "simd/abi.h"

namespace nibble {
__attribute__((noinline)) inline float leaked_weak(float x) {
  return x * x + 1.0f;
}
namespace {
void scale(const UnaryArgs* a) {
  for (size_t i = 0; i < a->n; ++i) a->y[i] = leaked_weak(a->y[i]);
}
constexpr KernelEntry kEntries[] = {
    {Op::kScale, Format::kF32, Activation::kNone, Layout::kRowMajor, 1, {.unary = scale}, "scale"}};
}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(weak, nibble::kEntries);
