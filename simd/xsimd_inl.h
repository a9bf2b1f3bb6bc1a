// xsimd with internal linkage: include this, never <xsimd/xsimd.hpp>.
//
// xsimd's functions are inline templates with external linkage. One that the compiler does not
// inline becomes a weak symbol, and the linker keeps one copy for the whole program: perhaps the
// one with another ISA level's instructions. Inside an anonymous namespace every object has its
// own. The standard headers xsimd includes come first, so that their guards keep them out of it
// (a new one in a later xsimd would show as errors here, at once).
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>

namespace {
#include <xsimd/xsimd.hpp>
}
