// Which tensor gets which type: the mixes that the community's file names stand for ("Q4_K_M").
//
// A mix has a type for the bulk of the matrices and better ones where loss hurts most: the values,
// the down projection, the output head. The rules are a table in mix.cpp, facts of llama.cpp
// 3f545be (src/llama-quant.cpp), so that a file is what its name promises.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "simd/format.h"

namespace nibble {

struct Mix {
  std::string_view name;
  uint32_t file_type;  // general.file_type
  Format bulk;
};

std::span<const Mix> mixes();
// By name, in any case; "Q4_K" means Q4_K_M, as everywhere. Null when unknown.
const Mix* find_mix(std::string_view name);
// A format that quantize_row() writes, by name, in any case.
std::optional<Format> find_quantized_format(std::string_view name);

// What the rules look at.
struct MixFacts {
  uint64_t layers = 0;
  uint64_t queries_per_kv = 1;  // query heads that share a key
  bool tied = true;             // the embedding is the output head too
  bool importances = false;     // they are known
};

// Whether a tensor is a matrix that quantising suits; the others (norms, routers, tables of
// positions) stay as they are.
bool is_quantizable(std::string_view name, size_t dimensions);
bool is_embedding_or_head(std::string_view name);

// The type that the mix gives to the tensor, regardless of its shape.
Format mix_format(const Mix& mix, const MixFacts& facts, std::string_view name);

// What stands in for a format where rows are not a multiple of its block: one of blocks of 32, and
// F16 where those do not fit either.
Format fallback(Format format, uint64_t k);

}  // namespace nibble
