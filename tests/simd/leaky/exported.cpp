// Leaks on purpose: a second global function. Only for the control of check_objects.sh.
#include "simd/abi.h"

namespace nibble {
void leaked_export(const UnaryArgs* a);
void leaked_export(const UnaryArgs* a) {
  for (size_t i = 0; i < a->n; ++i) a->y[i] *= a->scalar;
}
namespace {
constexpr KernelEntry kEntries[] = {{Op::kScale,
                                     Format::kF32,
                                     Activation::kNone,
                                     Layout::kRowMajor,
                                     1,
                                     {.unary = leaked_export},
                                     "scale"}};
}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(exported, nibble::kEntries);
