// Uses AVX2 without asking: the emulated CPU without AVX must kill it, or its test proves nothing.
#include <immintrin.h>

int main(int argc, char**) {
  const volatile int in[8] = {argc};
  alignas(32) int out[8];
  for (int i = 0; i < 8; ++i) out[i] = in[i];
  __m256i v = _mm256_load_si256(reinterpret_cast<const __m256i*>(out));
  v = _mm256_shuffle_epi8(v, v);
  _mm256_store_si256(reinterpret_cast<__m256i*>(out), v);
  volatile int used = out[7];
  static_cast<void>(used);
  return 0;
}
