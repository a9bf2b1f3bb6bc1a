#include "runtime/quantize/mix.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "runtime/quantize/quantize_row.h"

namespace nibble {
namespace {

constexpr Mix kMixes[] = {
    {"Q2_K", 10, Format::kQ2_K},   {"Q3_K_S", 11, Format::kQ3_K},   {"Q3_K_M", 12, Format::kQ3_K},
    {"Q3_K_L", 13, Format::kQ3_K}, {"IQ4_XS", 30, Format::kIQ4_XS}, {"IQ4_NL", 25, Format::kIQ4_NL},
    {"Q4_0", 2, Format::kQ4_0},    {"Q4_1", 3, Format::kQ4_1},      {"Q4_K_S", 14, Format::kQ4_K},
    {"Q4_K_M", 15, Format::kQ4_K}, {"Q5_0", 8, Format::kQ5_0},      {"Q5_1", 9, Format::kQ5_1},
    {"Q5_K_S", 16, Format::kQ5_K}, {"Q5_K_M", 17, Format::kQ5_K},   {"Q6_K", 18, Format::kQ6_K},
    {"Q8_0", 7, Format::kQ8_0},    {"F16", 1, Format::kF16},        {"BF16", 32, Format::kBF16},
    {"F32", 0, Format::kF32},
};

constexpr std::array<std::string_view, 2> kAliases[] = {
    {"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}};

enum class Part { kValue, kOutput, kDown };

// Of a model of n layers, counted from 0.
enum class Where {
  kAll,
  kHalf,       // the first and last eighth, and every third between
  kEighth,     // the first n/8
  kSixteenth,  // the first n/16
  kTwo,        // the first two
  kFour,
  kShared,       // when at least four query heads share a value
  kEighthBlind,  // the first n/8 when importances are not known
  kEighthSeen,   // the first n/8 when they are
};

struct Exception {
  std::string_view mix;
  Part part;
  Where where;
  Format format;
};

// The first that fits counts; where none does, the tensor has the bulk's type.
constexpr Exception kExceptions[] = {
    {"Q2_K", Part::kValue, Where::kShared, Format::kQ4_K},
    {"Q2_K", Part::kValue, Where::kAll, Format::kQ3_K},
    {"Q2_K", Part::kOutput, Where::kAll, Format::kQ3_K},
    {"Q2_K", Part::kDown, Where::kAll, Format::kQ3_K},
    {"Q3_K_M", Part::kValue, Where::kTwo, Format::kQ5_K},
    {"Q3_K_M", Part::kValue, Where::kAll, Format::kQ4_K},
    {"Q3_K_M", Part::kOutput, Where::kAll, Format::kQ4_K},
    {"Q3_K_M", Part::kDown, Where::kSixteenth, Format::kQ5_K},
    {"Q3_K_M", Part::kDown, Where::kAll, Format::kQ4_K},
    {"Q3_K_L", Part::kValue, Where::kAll, Format::kQ5_K},
    {"Q3_K_L", Part::kOutput, Where::kAll, Format::kQ5_K},
    {"Q3_K_L", Part::kDown, Where::kAll, Format::kQ5_K},
    {"IQ4_XS", Part::kValue, Where::kShared, Format::kQ5_K},
    {"IQ4_XS", Part::kDown, Where::kEighthBlind, Format::kQ5_K},
    {"IQ4_NL", Part::kValue, Where::kShared, Format::kQ5_K},
    {"IQ4_NL", Part::kDown, Where::kEighthBlind, Format::kQ5_K},
    {"Q4_0", Part::kDown, Where::kEighthSeen, Format::kQ4_1},
    {"Q5_0", Part::kDown, Where::kEighthSeen, Format::kQ5_1},
    {"Q4_K_S", Part::kValue, Where::kFour, Format::kQ5_K},
    {"Q4_K_S", Part::kDown, Where::kEighth, Format::kQ5_K},
    {"Q4_K_M", Part::kValue, Where::kHalf, Format::kQ6_K},
    {"Q4_K_M", Part::kDown, Where::kHalf, Format::kQ6_K},
    {"Q5_K_M", Part::kValue, Where::kHalf, Format::kQ6_K},
    {"Q5_K_M", Part::kDown, Where::kHalf, Format::kQ6_K},
};

// Parts of names of matrices that are small, or are not multiplied with activations.
constexpr std::string_view kKept[] = {
    "_norm.weight",   "ffn_gate_inp", "position_embd", "token_types", "ssm_conv1d",
    "shortconv.conv", "attn_rel_b",   "altup",         "laurel",      "per_layer_model_proj",
};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool equal_names(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::toupper(x) == std::toupper(y);
  });
}

std::optional<Part> part_of(std::string_view name) {
  for (const char* value : {"attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight"}) {
    if (contains(name, value)) return Part::kValue;
  }
  if (contains(name, "attn_output.weight")) return Part::kOutput;
  if (contains(name, "ffn_down")) return Part::kDown;
  return std::nullopt;
}

// N of "blk.N.".
uint64_t layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  uint64_t layer = 0;
  if (name.starts_with(kPrefix)) {
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
  }
  return layer;
}

bool holds(Where where, const MixFacts& facts, uint64_t layer) {
  const uint64_t n = facts.layers;
  switch (where) {
    case Where::kAll:
      return true;
    case Where::kHalf:
      return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
    case Where::kEighth:
      return layer < n / 8;
    case Where::kSixteenth:
      return layer < n / 16;
    case Where::kTwo:
      return layer < 2;
    case Where::kFour:
      return layer < 4;
    case Where::kShared:
      return facts.queries_per_kv >= 4;
    case Where::kEighthBlind:
      return layer < n / 8 && !facts.importances;
    case Where::kEighthSeen:
      return layer < n / 8 && facts.importances;
  }
  return false;
}

}  // namespace

std::span<const Mix> mixes() {
  return kMixes;
}

const Mix* find_mix(std::string_view name) {
  for (const auto& [alias, meant] : kAliases) {
    if (equal_names(name, alias)) name = meant;
  }
  for (const Mix& mix : kMixes) {
    if (equal_names(name, mix.name)) return &mix;
  }
  return nullptr;
}

std::optional<Format> find_quantized_format(std::string_view name) {
  for (size_t i = 0; i < static_cast<size_t>(Format::kCount); ++i) {
    const auto format = static_cast<Format>(i);
    if (can_quantize(format) && equal_names(name, format_info(format).name)) return format;
  }
  return std::nullopt;
}

bool is_quantizable(std::string_view name, size_t dimensions) {
  return dimensions >= 2 && name.ends_with("weight") &&
         std::none_of(std::begin(kKept), std::end(kKept),
                      [&](std::string_view part) { return contains(name, part); });
}

bool is_embedding_or_head(std::string_view name) {
  return name == "token_embd.weight" || name == "output.weight";
}

Format mix_format(const Mix& mix, const MixFacts& facts, std::string_view name) {
  if (format_info(mix.bulk).block == 1) return mix.bulk;
  if (name == "output.weight" || (name == "token_embd.weight" && facts.tied)) {
    return mix.bulk == Format::kQ8_0 ? Format::kQ8_0 : Format::kQ6_K;
  }
  const std::optional<Part> part = part_of(name);
  for (const Exception& exception : kExceptions) {
    if (exception.mix == mix.name && exception.part == part &&
        holds(exception.where, facts, layer_of(name))) {
      return exception.format;
    }
  }
  return mix.bulk;
}

Format fallback(Format format, uint64_t k) {
  constexpr std::array<Format, 2> kSmallBlocks[] = {
      {Format::kQ2_K, Format::kQ4_0}, {Format::kQ3_K, Format::kQ4_0},
      {Format::kQ4_K, Format::kQ5_0}, {Format::kQ5_K, Format::kQ5_1},
      {Format::kQ6_K, Format::kQ8_0}, {Format::kIQ4_XS, Format::kIQ4_NL},
  };
  const auto fits = [&](Format f) { return k % format_info(f).block == 0; };
  if (fits(format)) return format;
  for (const auto& [large, small] : kSmallBlocks) {
    if (format == large && fits(small)) return small;
  }
  return Format::kF16;
}

}  // namespace nibble
