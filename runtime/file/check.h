// NIBBLE_CHECK: broken invariants are bugs and stop the program, in every build.
//
// Never reachable from input: what a user can cause is a Result (nibble/result.h). NIBBLE_DCHECK is
// for conditions too expensive for release builds. Also: arithmetic that cannot wrap.
#pragma once

#include <cstdint>
#include <optional>

#include "nibble/result.h"

namespace nibble {

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

// Sums and products of sizes that come from a file: nothing when the result does not fit.
inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_add_overflow(a, b, &r)) return std::nullopt;
  return r;
}
inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_mul_overflow(a, b, &r)) return std::nullopt;
  return r;
}

}  // namespace nibble

#define NIBBLE_CHECK(condition)                              \
  (__builtin_expect(!!(condition), 1) ? static_cast<void>(0) \
                                      : ::nibble::check_failed(#condition, __FILE__, __LINE__))
#ifdef NDEBUG
#define NIBBLE_DCHECK(condition) static_cast<void>(0)
#else
#define NIBBLE_DCHECK(condition) NIBBLE_CHECK(condition)
#endif
