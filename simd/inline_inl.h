// What is inlined into a kernel. Builds with sanitizers define both macros empty
// (arch/CMakeLists.txt): their checks make such functions enormous, minutes of compiling where
// there are many of them.
#pragma once

// A function that does arithmetic: everything it calls is inlined into it, and it is not inlined
// itself. Without this GCC stops inlining half way through a large kernel, and vectors go through
// memory to its calls (measured: a quarter of the speed).
#ifndef NIBBLE_KERNEL
#define NIBBLE_KERNEL __attribute__((flatten, noinline))
#endif

// A part of a kernel's loop, whose arguments are registers.
#ifndef NIBBLE_INLINE
#define NIBBLE_INLINE inline __attribute__((always_inline))
#endif
