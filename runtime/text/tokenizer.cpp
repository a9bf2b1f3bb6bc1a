#include "runtime/text/tokenizer.h"

#include <algorithm>

#include "runtime/file/concat.h"
#include "runtime/text/vocabulary_tokenizer.h"

namespace nibble {
namespace {

bool is_ascii_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

constexpr size_t kWordMax = size_t{1} << 30;  // offsets in a word are 32 bits; longer ones are cut

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::load(const GgufFile& file) {
  constexpr std::string_view kKey = "tokenizer.ggml.model";
  NIBBLE_TRY(const std::string model, file.get_string(kKey));
  if (model == "llama") return load_spm(file);
  if (model == "gpt2") return load_bpe(file);
  return Error{ErrorCode::kData,
               concat(file.path(), ": key '", kKey, "': the tokenizer ", quoted(model),
                      " is not supported; nibble runs llama (SentencePiece BPE: Gemma, Llama 2) "
                      "and gpt2 (byte-level BPE: Llama 3, Qwen, SmolLM)")};
}

bool Tokenizer::is_end(int32_t id) const {
  return std::binary_search(end_tokens_.begin(), end_tokens_.end(), id);
}

VocabularyTokenizer::VocabularyTokenizer(LoadedVocabulary loaded)
    : vocabulary_(std::move(loaded.vocabulary)), unknown_(loaded.unknown), special_(vocabulary_) {
  vocabulary_size_ = vocabulary_.size();
  bos_ = loaded.bos;
  eos_ = loaded.eos;
  end_tokens_ = std::move(loaded.end_tokens);
  notes_ = std::move(loaded.notes);
}

std::vector<int32_t> VocabularyTokenizer::encode(std::string_view text,
                                                 const EncodeOptions& options) const {
  std::string spaced, unshielded;
  std::vector<size_t> barriers;
  if (marks_spaces() && text.find(kSpaceMark) != std::string_view::npos) {
    append_with_spaces(text, &spaced);
    text = spaced;
  }
  if (options.parse_special && text.find('\xFF') != std::string_view::npos) {
    unshielded = SpecialTokens::unshield(text, &barriers);
    text = unshielded;
  }
  Work work{WordCache(text.size()), {}, {}};
  work.ids.reserve(text.size() / 3 + 2);
  const bool add_bos = options.add_bos && adds_bos_;
  if (add_bos) work.ids.push_back(bos_);
  for (size_t at = 0; at < text.size();) {
    const auto match = special_.next(text, at, options.parse_special, barriers);
    if (match.begin > at) encode_plain(text.substr(at, match.begin - at), &work);
    // A text that brings its own BOS gets no second one.
    const bool second_bos = add_bos && match.begin == 0 && match.id == bos_;
    if (match.id >= 0 && !second_bos) work.ids.push_back(match.id);
    at = match.begin + match.length;
    if (!strips_after_markers_ || match.id < 0 || match.id == bos_ || match.id == unknown_)
      continue;
    while (at < text.size() && is_ascii_space(text[at])) ++at;
  }
  return std::move(work.ids);
}

// `text` is at the start or follows a special token: both are where a space is added.
void VocabularyTokenizer::encode_plain(std::string_view text, Work* work) const {
  const auto end_of_word = [&](size_t at) { return std::min(word_end(text, at), at + kWordMax); };
  size_t at = 0;
  if (adds_space_prefix_) {
    at = end_of_word(0);
    const std::string first = concat(" ", text.substr(0, at));
    encode_word(first, &work->merger, &work->ids);
  }
  while (at < text.size()) {
    const std::string_view word = text.substr(at, end_of_word(at) - at);
    work->cache.append(word, hash_text(word, 0), &work->ids,
                       [&] { encode_word(word, &work->merger, &work->ids); });
    at += word.size();
  }
}

void VocabularyTokenizer::append_bytes(std::string_view bytes, std::vector<int32_t>* out) const {
  for (const char c : bytes) {
    const int32_t byte = vocabulary_.byte(static_cast<uint8_t>(c));
    const int32_t id = byte >= 0 ? byte : unknown_;
    if (id >= 0) out->push_back(id);
  }
}

std::string_view VocabularyTokenizer::piece(int32_t id, bool special) const {
  if (!vocabulary_.contains(id)) return {};
  const TokenKind kind = vocabulary_.kind(id);
  const bool hidden = kind == TokenKind::kControl || kind == TokenKind::kUnknown;
  return hidden && !special ? std::string_view() : vocabulary_.text(id);
}

std::string VocabularyTokenizer::decode(const std::vector<int32_t>& ids, bool special) const {
  std::string out;
  bool space_added = adds_space_prefix_;
  for (const int32_t id : ids) {
    if (!vocabulary_.contains(id)) continue;
    std::string_view text = piece(id, special);
    const TokenKind kind = vocabulary_.kind(id);
    const bool plain = kind == TokenKind::kNormal || kind == TokenKind::kByte;
    if (plain && space_added && text.starts_with(' ')) text.remove_prefix(1);
    space_added = adds_space_prefix_ && !plain;
    out += text;
  }
  return out;
}

std::string VocabularyTokenizer::shield(std::string_view text) const {
  if (!marks_spaces()) return special_.shield(text);
  std::string spaced;
  append_with_spaces(text, &spaced);
  return special_.shield(spaced);
}

int32_t VocabularyTokenizer::find(std::string_view text) const {
  if (marks_spaces()) {
    if (const auto byte = byte_token_value(text)) return vocabulary_.byte(*byte);
  }
  std::string spaced;
  if (marks_spaces()) {
    append_with_spaces(text, &spaced);
    text = spaced;
  }
  const int32_t id = vocabulary_.find(text);
  return id >= 0 ? id : special_.find(text);
}

}  // namespace nibble
