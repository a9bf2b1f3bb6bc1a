#include "runtime/judge/chunks.h"

#include <algorithm>

#include "runtime/file/concat.h"
#include "runtime/model_impl.h"

namespace nibble {

Result<void> check_ctx(const Model& model, size_t ctx) {
  const auto trained = static_cast<size_t>(model.context_length());
  if (ctx >= Chunks::kLeastCtx && ctx <= trained) return {};
  return Error{ErrorCode::kUsage,
               concat("chunks of ", ctx, " tokens: ", model.path(), " can read ", Chunks::kLeastCtx,
                      " to ", trained, "; set it with --ctx N")};
}

Result<Chunks> cut_text(const Model& model, std::string_view text, size_t ctx, size_t most) {
  NIBBLE_TRY_VOID(check_ctx(model, ctx));
  Chunks chunks;
  chunks.ctx = ctx;
  chunks.ids = model.tokenize(text, /*add_bos=*/true, /*parse_special=*/false);
  if (chunks.ids.size() < ctx) {
    return Error{ErrorCode::kUsage,
                 concat("the text has ", chunks.ids.size(), " tokens, at least ", ctx,
                        " are needed for one chunk; take a longer text or "
                        "smaller chunks (--ctx N)")};
  }
  size_t count = chunks.count();
  if (most > 0) count = std::min(count, most);
  chunks.ids.resize(count * ctx);
  const Tokenizer& tokenizer = *model.impl().tokenizer;
  if (tokenizer.adds_bos()) {
    for (size_t i = 0; i < count; ++i) chunks.ids[i * ctx] = tokenizer.bos();
  }
  return chunks;
}

uint64_t vocabulary_hash(const Model& model) {
  const Tokenizer& tokenizer = *model.impl().tokenizer;
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&hash](uint64_t byte) { hash = (hash ^ byte) * 0x100000001b3; };
  const auto add_number = [&add](uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) add(number >> shift & 0xff);
  };
  add_number(static_cast<uint64_t>(model.vocabulary_size()));
  for (size_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    const std::string_view piece = tokenizer.piece(static_cast<int32_t>(id), /*special=*/true);
    add_number(piece.size());
    for (const char c : piece) add(static_cast<uint8_t>(c));
  }
  return hash;
}

}  // namespace nibble
