// Every coded format without VNNI. The loops are in simd/coded_ymm_inl.h.
//
// vpmaddubsw adds pairs of u8 x s8 products into 16 bits and saturates. Codes are small enough for
// several groups to be added there before a vpmaddwd to 32 bits; values of a table are signed, so
// their sign goes to the activations: |w| * (x with the sign of w), as in q8_0.cpp.
#include "simd/coded_ymm_inl.h"

namespace nibble {
namespace {

struct Maddubs {
  // Values of a table stay signed; codes stay as they are.
  template <Format F>
  static constexpr int bias() {
    return coded_form(F).table != nullptr ? 0 : coded_form(F).offset;
  }

  // The largest magnitude of vpmaddubsw's unsigned operand.
  static constexpr int most(const CodedForm& form) {
    if (form.table == nullptr) return (1 << form.bits) - 1;
    int largest = 0;
    for (int i = 0; i < 16; ++i) {
      const int magnitude = form.table[i] < 0 ? -form.table[i] : form.table[i];
      largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
  }

  // Groups whose pairs of products fit in 16 bits: 8 for 4 bits, 4 for 5, 2 for 6.
  static constexpr int groups(const CodedForm& form) { return 32767 / (2 * 127 * most(form)); }

  template <Format F, int G, int End, int T, class Weights>
  static NIBBLE_INLINE void add(const Weights& weights, const uint8_t* x, __m256i (&sum)[T]) {
    __m256i pairs[T];
    add_pairs<F, G, End, 0>(weights, x, pairs, sum);
  }

  // Held: groups in `pairs` so far.
  template <Format F, int G, int End, int Held, int T, class Weights>
  static NIBBLE_INLINE void add_pairs(const Weights& weights, const uint8_t* x, __m256i (&pairs)[T],
                                      __m256i (&sum)[T]) {
    if constexpr (G < End) {
      constexpr CodedForm kForm = coded_form(F);
      constexpr bool kLast = Held + 1 == groups(kForm) || G + 1 == End;
      const __m256i w = weights.template group<G>();
      const __m256i magnitude = kForm.table != nullptr ? _mm256_abs_epi8(w) : w;
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        __m256i q = broadcast4(x + NIBBLE_BLOCK * t + 4 * G);
        if constexpr (kForm.table != nullptr) q = _mm256_sign_epi8(q, w);
        const __m256i products = _mm256_maddubs_epi16(magnitude, q);
        pairs[t] = Held == 0 ? products : _mm256_add_epi16(pairs[t], products);
        keep(pairs[t]);
        if constexpr (kLast) {
          sum[t] = _mm256_add_epi32(sum[t], _mm256_madd_epi16(pairs[t], _mm256_set1_epi16(1)));
          keep(sum[t]);
        }
      }
      add_pairs<F, G + 1, End, kLast ? 0 : Held + 1>(weights, x, pairs, sum);
    }
  }
};

template <Format F>
constexpr KernelEntry entry(const char* name) {
  return {Op::kMatmul,
          F,
          Activation::kQ8,
          Layout::kRows8,
          8,
          {.matmul = matmul_tiles<CodedYmmTile<F, Maddubs>>},
          name};
}

constexpr KernelEntry kEntries[] = {
    entry<Format::kQ4_1>("q4_1"),       entry<Format::kQ5_0>("q5_0"),
    entry<Format::kQ5_1>("q5_1"),       entry<Format::kQ2_K>("q2_k"),
    entry<Format::kQ3_K>("q3_k"),       entry<Format::kQ4_K>("q4_k"),
    entry<Format::kQ5_K>("q5_k"),       entry<Format::kQ6_K>("q6_k"),
    entry<Format::kIQ4_NL>("iq4_nl"),   entry<Format::kIQ4_XS>("iq4_xs"),
    entry<Format::kIQ3_S>("iq3_s"),     entry<Format::kIQ3_XXS>("iq3_xxs"),
    entry<Format::kIQ2_XXS>("iq2_xxs"), entry<Format::kIQ2_XS>("iq2_xs"),
    entry<Format::kIQ2_S>("iq2_s"),     entry<Format::kTQ1_0>("tq1_0"),
    entry<Format::kTQ2_0>("tq2_0"),     entry<Format::kMXFP4>("mxfp4"),
};

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(coded, nibble::kEntries);
