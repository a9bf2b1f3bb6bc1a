#include "simd/format.h"

namespace nibble {
namespace {

// In the order of Format.
constexpr FormatInfo kFormats[] = {
    {Format::kF32, "F32", 0, 1, 4, 0, 0},
    {Format::kF16, "F16", 1, 1, 2, 0, 0},
    {Format::kBF16, "BF16", 30, 1, 2, 0, 0},
    {Format::kQ8_0, "Q8_0", 8, 32, 34, 0, 1},
    {Format::kQ4_0, "Q4_0", 2, 32, 18, 0, 1},
    {Format::kQ4_1, "Q4_1", 3, 32, 20, 0, 2},
    {Format::kQ5_0, "Q5_0", 6, 32, 22, 0, 1},
    {Format::kQ5_1, "Q5_1", 7, 32, 24, 0, 2},
    {Format::kQ2_K, "Q2_K", 10, 256, 84, 80, 2},
    {Format::kQ3_K, "Q3_K", 11, 256, 110, 108, 1},
    {Format::kQ4_K, "Q4_K", 12, 256, 144, 0, 2},
    {Format::kQ5_K, "Q5_K", 13, 256, 176, 0, 2},
    {Format::kQ6_K, "Q6_K", 14, 256, 210, 208, 1},
    {Format::kIQ4_NL, "IQ4_NL", 20, 32, 18, 0, 1},
    {Format::kIQ4_XS, "IQ4_XS", 23, 256, 136, 0, 1},
    {Format::kIQ3_S, "IQ3_S", 21, 256, 110, 0, 1},
    {Format::kIQ3_XXS, "IQ3_XXS", 18, 256, 98, 0, 1},
    {Format::kIQ2_XXS, "IQ2_XXS", 16, 256, 66, 0, 1},
    {Format::kIQ2_XS, "IQ2_XS", 17, 256, 74, 0, 1},
    {Format::kIQ2_S, "IQ2_S", 22, 256, 82, 0, 1},
    {Format::kTQ1_0, "TQ1_0", 34, 256, 54, 52, 1},
    {Format::kTQ2_0, "TQ2_0", 35, 256, 66, 64, 1},
    {Format::kMXFP4, "MXFP4", 39, 32, 17, 0, 0},
};
static_assert(sizeof(kFormats) / sizeof(kFormats[0]) == static_cast<size_t>(Format::kCount));

struct TypeRow {
  uint32_t id;
  GgufTypeInfo info;
};

// Every type id the specification has given out; sizes from the block structures it defines.
constexpr TypeRow kTypes[] = {
    {0, {"F32", 1, 4}},
    {1, {"F16", 1, 2}},
    {2, {"Q4_0", 32, 18}},
    {3, {"Q4_1", 32, 20}},
    {4, {"Q4_2", 32, 20, true}},
    {5, {"Q4_3", 32, 24, true}},
    {6, {"Q5_0", 32, 22}},
    {7, {"Q5_1", 32, 24}},
    {8, {"Q8_0", 32, 34}},
    {9, {"Q8_1", 32, 36}},
    {10, {"Q2_K", 256, 84}},
    {11, {"Q3_K", 256, 110}},
    {12, {"Q4_K", 256, 144}},
    {13, {"Q5_K", 256, 176}},
    {14, {"Q6_K", 256, 210}},
    {15, {"Q8_K", 256, 292}},
    {16, {"IQ2_XXS", 256, 66}},
    {17, {"IQ2_XS", 256, 74}},
    {18, {"IQ3_XXS", 256, 98}},
    {19, {"IQ1_S", 256, 50}},
    {20, {"IQ4_NL", 32, 18}},
    {21, {"IQ3_S", 256, 110}},
    {22, {"IQ2_S", 256, 82}},
    {23, {"IQ4_XS", 256, 136}},
    {24, {"I8", 1, 1}},
    {25, {"I16", 1, 2}},
    {26, {"I32", 1, 4}},
    {27, {"I64", 1, 8}},
    {28, {"F64", 1, 8}},
    {29, {"IQ1_M", 256, 56}},
    {30, {"BF16", 1, 2}},
    {31, {"Q4_0_4_4", 32, 18, true}},
    {32, {"Q4_0_4_8", 32, 18, true}},
    {33, {"Q4_0_8_8", 32, 18, true}},
    {34, {"TQ1_0", 256, 54}},
    {35, {"TQ2_0", 256, 66}},
    {36, {"IQ4_NL_4_4", 32, 18, true}},
    {37, {"IQ4_NL_4_8", 32, 18, true}},
    {38, {"IQ4_NL_8_8", 32, 18, true}},
    {39, {"MXFP4", 32, 17}},
};

}  // namespace

const FormatInfo& format_info(Format format) {
  return kFormats[static_cast<size_t>(format)];
}

std::optional<Format> format_from_gguf(uint32_t gguf_id) {
  for (const FormatInfo& info : kFormats) {
    if (info.gguf_id == gguf_id) return info.format;
  }
  return std::nullopt;
}

GgufTypeInfo gguf_type_info(uint32_t gguf_id) {
  for (const TypeRow& row : kTypes) {
    if (row.id == gguf_id) return row.info;
  }
  return {};
}

}  // namespace nibble
