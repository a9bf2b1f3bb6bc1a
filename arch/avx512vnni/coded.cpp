// Every coded format by 512-bit VNNI. The arithmetic is in simd/coded_zmm_inl.h.
#include "simd/coded_zmm_inl.h"

namespace nibble {
namespace {

template <Format F>
constexpr KernelEntry entry(const char* name) {
  return {Op::kMatmul,
          F,
          Activation::kQ8,
          Layout::kRows16,
          16,
          {.matmul = matmul_tiles<CodedZmmTile<F>>},
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
