// Every coded format, the reference: matmul on rows as in the file, and dequantisation.
//
// One block is read as integers (simd/coded_read_inl.h) and meets all tokens before the next is
// read. Read next: simd/coded_form_inl.h.
#include <math.h>

#include "simd/abi.h"
#include "simd/block_inl.h"
#include "simd/coded_read_iq_inl.h"

namespace nibble {
namespace {

// Factors of a block's two halves, exact floats: weight = scale * value - minimum.
struct Factors {
  float scale[2];
  float minimum[2];
};

template <Format F>
Factors factors_of(const CodedBlock& block) {
  constexpr CodedForm kForm = coded_form(F);
  const float d = kForm.bf16 ? f32_from_bf16(block.d) : f32_from_f16(block.d);
  const float dmin = f32_from_f16(block.dmin);
  Factors factors;
  for (int h = 0; h < 2; ++h) {
    factors.scale[h] = d * kForm.factor * static_cast<float>(block.scale[h]);
    factors.minimum[h] = dmin * static_cast<float>(block.minimum[h]);
  }
  return factors;
}

// What a block adds to a row's sum for one token: abi.h, MatmulArgs.
template <Format F>
float add_block(const CodedBlock& block, const Factors& f, const TokenBlock& x, float acc) {
  constexpr CodedForm kForm = coded_form(F);
  int32_t sum[2] = {0, 0};
  for (size_t j = 0; j < NIBBLE_BLOCK; ++j) {
    sum[j / 16] += coded_value(kForm, block.code[j]) * x.q[j];
  }
  if constexpr (!kForm.split && !kForm.minimum) {
    return fmaf(static_cast<float>(sum[0] + sum[1]), f.scale[0] * x.scale, acc);
  }
  float term = 0;
  if constexpr (kForm.split) {
    term = fmaf(static_cast<float>(sum[0]), f.scale[0], static_cast<float>(sum[1]) * f.scale[1]);
  }
  if constexpr (kForm.split && kForm.minimum) {
    term = fmaf(static_cast<float>(x.neg64[0]), f.minimum[0] / 64, term);
    term = fmaf(static_cast<float>(x.neg64[1]), f.minimum[1] / 64, term);
  }
  if constexpr (!kForm.split) {
    term = fmaf(static_cast<float>(sum[0] + sum[1]), f.scale[0],
                static_cast<float>(x.neg8) * (f.minimum[0] / 8));
  }
  return fmaf(term, x.scale, acc);
}

template <Format F>
void matmul(const MatmulArgs* a) {
  constexpr size_t kBlocks = coded_form(F).span / NIBBLE_BLOCK;
  constexpr size_t kBytes = static_cast<size_t>(coded_form(F).file_bytes);
  const size_t blocks = a->k / NIBBLE_BLOCK;
  for (size_t i = 0; i < a->n; ++i) {
    const uint8_t* row = static_cast<const uint8_t*>(a->w) + i * (blocks / kBlocks) * kBytes;
    for (size_t first = 0; first < a->m; first += NIBBLE_PANEL) {
      const size_t last = a->m - first < NIBBLE_PANEL ? a->m : first + NIBBLE_PANEL;
      float acc[NIBBLE_PANEL] = {};
      for (size_t b = 0; b < blocks; ++b) {
        CodedBlock block;
        read_coded<F>(row + b / kBlocks * kBytes, b % kBlocks, &block);
        const Factors factors = factors_of<F>(block);
        for (size_t t = first; t < last; ++t) {
          const TokenBlock x = token_block(a->x, a->m, blocks, t, b);
          acc[t - first] = add_block<F>(block, factors, x, acc[t - first]);
        }
      }
      for (size_t t = first; t < last; ++t) a->y[t * a->y_stride + i] = acc[t - first];
    }
  }
}

template <Format F>
void dequantize(const DequantizeArgs* a) {
  constexpr CodedForm kForm = coded_form(F);
  constexpr size_t kBlocks = kForm.span / NIBBLE_BLOCK;
  for (size_t b = 0; b < a->k / NIBBLE_BLOCK; ++b) {
    CodedBlock block;
    read_coded<F>(static_cast<const uint8_t*>(a->src) + b / kBlocks * coded_form(F).file_bytes,
                  b % kBlocks, &block);
    const Factors factors = factors_of<F>(block);
    for (size_t j = 0; j < NIBBLE_BLOCK; ++j) {
      const float product =
          factors.scale[j / 16] * static_cast<float>(coded_value(kForm, block.code[j]));
      a->dst[b * NIBBLE_BLOCK + j] = kForm.minimum ? product - factors.minimum[j / 16] : product;
    }
  }
}

template <Format F>
constexpr KernelEntry matmul_entry(const char* name) {
  return {Op::kMatmul, F, Activation::kQ8, Layout::kRowMajor, 1, {.matmul = matmul<F>}, name};
}

template <Format F>
constexpr KernelEntry dequantize_entry(const char* name) {
  return {Op::kDequantizeRow,
          F,
          Activation::kNone,
          Layout::kRowMajor,
          1,
          {.dequantize = dequantize<F>},
          name};
}

constexpr KernelEntry kEntries[] = {
    matmul_entry<Format::kQ4_1>("q4_1"),
    matmul_entry<Format::kQ5_0>("q5_0"),
    matmul_entry<Format::kQ5_1>("q5_1"),
    matmul_entry<Format::kQ2_K>("q2_k"),
    matmul_entry<Format::kQ3_K>("q3_k"),
    matmul_entry<Format::kQ4_K>("q4_k"),
    matmul_entry<Format::kQ5_K>("q5_k"),
    matmul_entry<Format::kQ6_K>("q6_k"),
    matmul_entry<Format::kIQ4_NL>("iq4_nl"),
    matmul_entry<Format::kIQ4_XS>("iq4_xs"),
    matmul_entry<Format::kIQ3_S>("iq3_s"),
    matmul_entry<Format::kIQ3_XXS>("iq3_xxs"),
    matmul_entry<Format::kIQ2_XXS>("iq2_xxs"),
    matmul_entry<Format::kIQ2_XS>("iq2_xs"),
    matmul_entry<Format::kIQ2_S>("iq2_s"),
    matmul_entry<Format::kTQ1_0>("tq1_0"),
    matmul_entry<Format::kTQ2_0>("tq2_0"),
    matmul_entry<Format::kMXFP4>("mxfp4"),
    dequantize_entry<Format::kQ4_1>("dequantize_q4_1"),
    dequantize_entry<Format::kQ5_0>("dequantize_q5_0"),
    dequantize_entry<Format::kQ5_1>("dequantize_q5_1"),
    dequantize_entry<Format::kQ2_K>("dequantize_q2_k"),
    dequantize_entry<Format::kQ3_K>("dequantize_q3_k"),
    dequantize_entry<Format::kQ4_K>("dequantize_q4_k"),
    dequantize_entry<Format::kQ5_K>("dequantize_q5_k"),
    dequantize_entry<Format::kQ6_K>("dequantize_q6_k"),
    dequantize_entry<Format::kIQ4_NL>("dequantize_iq4_nl"),
    dequantize_entry<Format::kIQ4_XS>("dequantize_iq4_xs"),
    dequantize_entry<Format::kIQ3_S>("dequantize_iq3_s"),
    dequantize_entry<Format::kIQ3_XXS>("dequantize_iq3_xxs"),
    dequantize_entry<Format::kIQ2_XXS>("dequantize_iq2_xxs"),
    dequantize_entry<Format::kIQ2_XS>("dequantize_iq2_xs"),
    dequantize_entry<Format::kIQ2_S>("dequantize_iq2_s"),
    dequantize_entry<Format::kTQ1_0>("dequantize_tq1_0"),
    dequantize_entry<Format::kTQ2_0>("dequantize_tq2_0"),
    dequantize_entry<Format::kMXFP4>("dequantize_mxfp4"),
};

}  // namespace
}  // namespace nibble

NIBBLE_EXPORT_KERNELS(coded, nibble::kEntries);
