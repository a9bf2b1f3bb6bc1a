// A text as models are judged on it: cut into chunks of `ctx` tokens, each read alone.
//
// The definition is llama.cpp's, so that numbers compare: the text is tokenised once, cut without
// overlap, what is left over at the end is not read, and BOS takes the place of each chunk's first
// token if the model begins its texts with it. Only tokens of a chunk's second half are predicted,
// so that every prediction has at least ctx / 2 tokens before it. Read next: examinee.h.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "nibble/nibble.h"

namespace nibble {

struct Chunks {
  static constexpr size_t kLeastCtx = 8;

  size_t ctx = 0;
  std::vector<int32_t> ids;  // [count()][ctx]

  size_t count() const { return ids.size() / ctx; }
  std::span<const int32_t> operator[](size_t i) const { return {ids.data() + i * ctx, ctx}; }
  // The first token of a chunk that predicts its successor.
  size_t first() const { return ctx / 2; }
  // Predictions in a chunk: of the tokens first() + 1 .. ctx - 1.
  size_t predictions() const { return ctx - 1 - first(); }
};

// At most `most` chunks (0: all). Errors: 64 a text that is shorter than one chunk, with both
// counts; `ctx` less than kLeastCtx or more than the model was trained for.
Result<Chunks> cut_text(const Model& model, std::string_view text, size_t ctx, size_t most);

// Whether a model can read chunks of `ctx` tokens; error 64 as above.
Result<void> check_ctx(const Model& model, size_t ctx);

// Tells vocabularies apart: a hash over the number of logits and the text of every token.
uint64_t vocabulary_hash(const Model& model);

}  // namespace nibble
