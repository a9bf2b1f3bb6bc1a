// SentencePiece-style BPE ("llama"): the neighbours that form the token of the best score merge
// first; a character without a token becomes its bytes. Spaces are part of the words.
#include <array>

#include "runtime/text/utf8.h"
#include "runtime/text/vocabulary_tokenizer.h"

namespace nibble {
namespace {

class SpmTokenizer final : public VocabularyTokenizer {
 public:
  SpmTokenizer(LoadedVocabulary loaded, bool adds_bos, bool adds_space_prefix, bool strips)
      : VocabularyTokenizer(std::move(loaded)) {
    adds_bos_ = adds_bos && bos_ >= 0;
    adds_space_prefix_ = adds_space_prefix;
    strips_after_markers_ = strips;
    if (adds_bos && bos_ < 0) notes_.push_back("the file names no BOS token: none is added");
    for (int32_t id = 0; vocabulary_.contains(id); ++id) {
      const TokenKind kind = vocabulary_.kind(id);
      if (kind != TokenKind::kNormal && kind != TokenKind::kUserDefined) continue;
      const std::string_view text = vocabulary_.text(id);
      for (size_t i = 1; i < text.size(); ++i) {
        if (text[i] == ' ') joins_space_[static_cast<uint8_t>(text[i - 1])] = true;
      }
    }
  }

 protected:
  bool marks_spaces() const override { return true; }

  // Before a space, unless some token goes on across it after the same byte. Only a shortcut: the
  // tokens are those of merging the whole text at once.
  size_t word_end(std::string_view text, size_t at) const override {
    size_t end = at;
    do {
      end = text.find(' ', end + 1);
    } while (end != std::string_view::npos && joins_space_[static_cast<uint8_t>(text[end - 1])]);
    return std::min(end, text.size());
  }

  void encode_word(std::string_view word, Merger* merger,
                   std::vector<int32_t>* out) const override {
    merger->start(word.size());
    for (size_t at = 0; at < word.size();) {
      uint32_t code_point;
      const int length = std::max(utf8_decode(word.substr(at), &code_point), 1);
      merger->add(static_cast<uint32_t>(length), -1);
      at += static_cast<size_t>(length);
    }
    merger->merge([&](const MergeSymbol& left, const MergeSymbol& right, uint32_t at) {
      const int32_t id = vocabulary_.find(word.substr(at, left.length + right.length));
      return MergedPair{id < 0 ? 0 : vocabulary_.priority(id), id};
    });
    merger->each([&](uint32_t at, const MergeSymbol& symbol) {
      const std::string_view text = word.substr(at, symbol.length);
      const int32_t id = symbol.id >= 0 ? symbol.id : vocabulary_.find(text);
      id >= 0 ? out->push_back(id) : append_bytes(text, out);
    });
  }

 private:
  std::array<bool, 256> joins_space_{};
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> load_spm(const GgufFile& file) {
  NIBBLE_TRY(const std::string architecture, file.get_string("general.architecture", ""));
  // Gemma's own files leave these keys out and mean: BOS yes, space no.
  const bool is_gemma = architecture.starts_with("gemma");
  // Phi 3's own tokenizer strips what follows its control tokens; files do not say so.
  const bool is_phi = architecture == "phi3";
  NIBBLE_TRY(const bool adds_bos, file.get_bool("tokenizer.ggml.add_bos_token", true));
  NIBBLE_TRY(const bool adds_space, file.get_bool("tokenizer.ggml.add_space_prefix", !is_gemma));
  NIBBLE_TRY(LoadedVocabulary loaded, load_vocabulary(file, VocabularyForm::kSentencePiece));
  return std::shared_ptr<const Tokenizer>(
      std::make_shared<SpmTokenizer>(std::move(loaded), adds_bos, adds_space, is_phi));
}

}  // namespace nibble
