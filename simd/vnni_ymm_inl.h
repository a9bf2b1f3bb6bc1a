// The 256-bit vpdpbusd in the encoding that the compiler's flags allow: VEX under -mavxvnni, EVEX
// under -mavx512vnni -mavx512vl. Same instruction, same results: so AVX-VNNI kernels can be proven
// on machines that have only the AVX-512 form.
#pragma once

#include <immintrin.h>

namespace nibble {

// sum + dot of each lane's 4 unsigned bytes of u with its 4 signed bytes of s.
static inline __m256i dot4_ymm(__m256i sum, __m256i u, __m256i s) {
#if defined(__AVXVNNI__)
  return _mm256_dpbusd_avx_epi32(sum, u, s);
#else
  return _mm256_dpbusd_epi32(sum, u, s);
#endif
}

}  // namespace nibble
