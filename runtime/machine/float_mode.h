// The float mode in which all arithmetic of a model runs: round to nearest, no exceptions trapped,
// denormals kept. Results must not depend on a host program's -ffast-math or on its thread pool.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
#endif

namespace nibble {

// Sets the default mode for this thread and gives the former one back when it goes.
class DefaultFloatMode {
 public:
  DefaultFloatMode() : saved_(read()) {
    if ((saved_ & kModeBits) != kDefault) write(kDefault);
  }
  DefaultFloatMode(const DefaultFloatMode&) = delete;
  DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;
  ~DefaultFloatMode() {
    if ((saved_ & kModeBits) != kDefault) write(saved_);
  }

 private:
#if defined(__x86_64__) || defined(__i386__)
  using Register = unsigned int;
  static constexpr Register kDefault = 0x1F80;
  static constexpr Register kModeBits = 0xFFC0;  // the rest are sticky flags that do not matter
  static Register read() {
    return _mm_getcsr();
  }
  static void write(Register value) {
    _mm_setcsr(value);
  }
#elif defined(__aarch64__)
  using Register = uint64_t;
  static constexpr Register kDefault = 0;
  static constexpr Register kModeBits = ~Register{0};
  static Register read() {
    Register value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void write(Register value) {
    asm volatile("msr fpcr, %0" : : "r"(value));
  }
#else
  using Register = unsigned int;
  static constexpr Register kDefault = 0;
  static constexpr Register kModeBits = 0;
  static Register read() {
    return 0;
  }
  static void write(Register) {}
#endif

  Register saved_;
};

}  // namespace nibble
