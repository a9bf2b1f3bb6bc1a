#include "runtime/text/vocabulary_load.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "runtime/file/concat.h"
#include "runtime/text/utf8.h"

namespace nibble {
namespace {

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kScores = "tokenizer.ggml.scores";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";

// Texts that are control tokens in every vocabulary that has them, whatever type a file gives.
struct ControlText {
  std::string_view text;
  bool ends_turn = false;
};
constexpr ControlText kControlTexts[] = {
    {"<bos>"},
    {"<eos>", true},
    {"<pad>"},
    {"<start_of_turn>"},
    {"<end_of_turn>", true},
    {"<|begin_of_text|>"},
    {"<|end_of_text|>", true},
    {"<|start_header_id|>"},
    {"<|end_header_id|>"},
    {"<|eot_id|>", true},
    {"<|eom_id|>", true},
    {"<|im_start|>"},
    {"<|im_end|>", true},
    {"<|endoftext|>", true},
    {"<|system|>"},
    {"<|user|>"},
    {"<|assistant|>"},
    {"<|end|>", true},
};

bool looks_like_marker(std::string_view text) {
  return text.size() >= 3 && ((text.front() == '<' && text.back() == '>') ||
                              (text.front() == '[' && text.back() == ']'));
}

// An unsigned key of the same order as the floats reversed: the highest score is the smallest.
uint32_t descending(float score) {
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 as +0
  return bits >> 31 ? bits : ~(bits | 0x80000000u);
}

// Tokens for one note: "<start_of_turn> (105), <end_of_turn> (106), and 3 more".
struct Listing {
  size_t count = 0;
  std::string text;
  void add(std::string_view name, size_t id) {
    if (++count <= 6) text += concat(count == 1 ? "" : ", ", quoted(name), " (", id, ")");
  }
  std::string str() const { return count <= 6 ? text : concat(text, " and ", count - 6, " more"); }
};

class Loader {
 public:
  Loader(const GgufFile& file, VocabularyForm form) : file_(file), form_(form) {}

  Result<LoadedVocabulary> load() {
    NIBBLE_TRY_VOID(read_tokens());
    NIBBLE_TRY_VOID(read_types());
    NIBBLE_TRY_VOID(read_priorities());
    NIBBLE_TRY_VOID(read_special_ids());
    correct_kinds();
    find_end_tokens();
    fill();
    return std::move(out_);
  }

 private:
  Error bad(std::string_view key, std::string_view what) const {
    return {ErrorCode::kData, concat(file_.path(), ": key ", quoted(key), ": ", what,
                                     "; download another file of this model")};
  }

  Error wrong_length(std::string_view key, const GgufArray& array) const {
    return bad(
        key, concat("has ", array.size(), " values of type id ", static_cast<uint32_t>(array.type),
                    ", must have one number for each of ", texts_->size(), " tokens"));
  }

  Result<void> read_tokens() {
    NIBBLE_TRY(const GgufArray* array, file_.get_array(kTokens));
    if (array == nullptr) return bad(kTokens, "is missing");
    if (array->type != GgufType::kString) return bad(kTokens, "is not an array of strings");
    texts_ = &array->strings;
    if (texts_->empty()) return bad(kTokens, "is empty");
    if (texts_->size() > std::numeric_limits<int32_t>::max()) {
      return bad(kTokens, concat("has ", texts_->size(), " tokens, the limit is 2147483647"));
    }
    for (const std::string& text : *texts_) text_bytes_ += text.size();
    if (text_bytes_ > std::numeric_limits<uint32_t>::max()) {
      return bad(kTokens, concat("has ", text_bytes_, " bytes of text, the limit is 4294967295"));
    }
    return {};
  }

  Result<void> read_types() {
    kinds_.assign(texts_->size(), TokenKind::kNormal);
    NIBBLE_TRY(const GgufArray* array, file_.get_array(kTypes));
    if (array == nullptr) {
      out_.notes.push_back(concat(kTypes, " is missing: control tokens are known by text alone"));
      return {};
    }
    const bool is_signed = array->type == GgufType::kInt32;
    if (!(is_signed || array->type == GgufType::kUint32) || array->size() != texts_->size()) {
      return wrong_length(kTypes, *array);
    }
    for (size_t i = 0; i < kinds_.size(); ++i) {
      switch (is_signed ? array->ints[i] : static_cast<int64_t>(array->uints[i])) {
        case 2:
          kinds_[i] = TokenKind::kUnknown;
          break;
        case 3:
          kinds_[i] = TokenKind::kControl;
          break;
        case 4:
          kinds_[i] = TokenKind::kUserDefined;
          break;
        case 6:
          kinds_[i] = TokenKind::kByte;
          break;
        default:  // 1 normal, 5 unused, and what no writer gives
          break;
      }
    }
    return {};
  }

  Result<void> read_priorities() {
    priorities_.assign(texts_->size(), 0);
    if (form_ != VocabularyForm::kSentencePiece) return {};
    NIBBLE_TRY(const GgufArray* array, file_.get_array(kScores));
    if (array == nullptr) return bad(kScores, "is missing");
    if (array->type != GgufType::kFloat32 || array->size() != texts_->size()) {
      return wrong_length(kScores, *array);
    }
    for (size_t i = 0; i < priorities_.size(); ++i) {
      if (std::isnan(array->floats[i]))
        return bad(kScores, concat("the score of token ", i, " is not a number"));
      priorities_[i] = descending(static_cast<float>(array->floats[i]));
    }
    return {};
  }

  // A token id, or -1 where the key is missing or says "none" (-1, also as an unsigned).
  Result<int32_t> read_id(std::string_view key) const {
    const GgufValue* value = file_.find(key);
    if (value == nullptr) return -1;
    const auto* number = std::get_if<int64_t>(&value->data);
    if (number != nullptr && *number == -1) return -1;
    NIBBLE_TRY(const uint64_t id, file_.get_uint(key));
    if (id == std::numeric_limits<uint32_t>::max()) return -1;
    if (id >= texts_->size()) {
      return bad(key, concat("is ", id, ", must be below the ", texts_->size(), " tokens"));
    }
    return static_cast<int32_t>(id);
  }

  Result<void> read_special_ids() {
    NIBBLE_TRY(out_.bos, read_id("tokenizer.ggml.bos_token_id"));
    NIBBLE_TRY(out_.eos, read_id("tokenizer.ggml.eos_token_id"));
    NIBBLE_TRY(out_.unknown, read_id("tokenizer.ggml.unknown_token_id"));
    NIBBLE_TRY(const int32_t eot, read_id("tokenizer.ggml.eot_token_id"));
    NIBBLE_TRY(const int32_t eom, read_id("tokenizer.ggml.eom_token_id"));
    for (const int32_t id : {out_.eos, eot, eom}) {
      if (id >= 0) out_.end_tokens.push_back(id);
    }
    return {};
  }

  // The types that files are known to get wrong.
  void correct_kinds() {
    Listing control, byte, no_byte;
    for (size_t i = 0; i < texts_->size(); ++i) {
      const std::string& text = (*texts_)[i];
      TokenKind& kind = kinds_[i];
      if (form_ == VocabularyForm::kSentencePiece && byte_token_value(text)) {
        if (kind != TokenKind::kByte) byte.add(text, i);
        kind = TokenKind::kByte;
      } else if (kind == TokenKind::kByte) {
        if (form_ == VocabularyForm::kSentencePiece) no_byte.add(text, i);
        kind = TokenKind::kNormal;
      }
      if (is_plain(kind) && is_control(text, static_cast<int32_t>(i))) {
        control.add(text, i);
        kind = TokenKind::kControl;
      }
    }
    if (out_.unknown >= 0 && looks_like_marker((*texts_)[out_.unknown])) {
      kinds_[out_.unknown] = TokenKind::kUnknown;
    }
    if (control.count > 0) {
      out_.notes.push_back(concat("control tokens with another type in the file: ", control.str()));
    }
    if (byte.count > 0) {
      out_.notes.push_back(concat("byte tokens with another type in the file: ", byte.str()));
    }
    if (no_byte.count > 0) {
      out_.notes.push_back(
          concat("tokens of type byte that name no byte, taken as text: ", no_byte.str()));
    }
  }

  static bool is_plain(TokenKind kind) {
    return kind == TokenKind::kNormal || kind == TokenKind::kUserDefined;
  }

  bool is_control(std::string_view text, int32_t id) const {
    if (!looks_like_marker(text)) return false;
    const auto known = [&](const ControlText& entry) { return entry.text == text; };
    if (std::any_of(std::begin(kControlTexts), std::end(kControlTexts), known)) return true;
    const auto& ends = out_.end_tokens;
    return id == out_.bos || std::find(ends.begin(), ends.end(), id) != ends.end();
  }

  void find_end_tokens() {
    int32_t sentence_end = -1;  // </s>, unless it is text: in Gemma's vocabulary it is HTML
    bool has_eos_text = false;
    for (size_t i = 0; i < texts_->size(); ++i) {
      if (kinds_[i] != TokenKind::kControl) continue;
      const std::string_view text = (*texts_)[i];
      const int32_t id = static_cast<int32_t>(i);
      const auto ends = [&](const ControlText& entry) {
        return entry.ends_turn && entry.text == text;
      };
      if (std::any_of(std::begin(kControlTexts), std::end(kControlTexts), ends)) {
        out_.end_tokens.push_back(id);
      }
      if (text == "</s>") sentence_end = id;
      if (text == "<eos>") has_eos_text = true;
      if (out_.bos < 0 && (text == "<s>" || text == "<bos>")) out_.bos = id;
      if (out_.eos < 0 && (text == "</s>" || text == "<eos>")) out_.eos = id;
    }
    if (sentence_end >= 0 && !has_eos_text) out_.end_tokens.push_back(sentence_end);
    auto& ends = out_.end_tokens;
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  }

  void fill() {
    Vocabulary& vocabulary = out_.vocabulary;
    vocabulary.reserve(texts_->size(), text_bytes_);
    std::string bytes;
    for (size_t i = 0; i < texts_->size(); ++i) {
      const std::string& text = (*texts_)[i];
      bytes.clear();
      if (kinds_[i] == TokenKind::kByte) {
        bytes.push_back(static_cast<char>(*byte_token_value(text)));
      } else if (form_ == VocabularyForm::kSentencePiece) {
        append_with_spaces(text, &bytes);
      } else if (kinds_[i] == TokenKind::kNormal) {
        append_byte_level(text, &bytes);
      } else {
        bytes = text;
      }
      vocabulary.add(bytes, kinds_[i], priorities_[i]);
    }
    if (const size_t repeated = vocabulary.finish(); repeated > 0) {
      out_.notes.push_back(
          concat(repeated, " tokens have the text of an earlier one, which is used"));
    }
  }

  const GgufFile& file_;
  const VocabularyForm form_;
  const std::vector<std::string>* texts_ = nullptr;
  uint64_t text_bytes_ = 0;
  std::vector<TokenKind> kinds_;
  std::vector<uint32_t> priorities_;
  LoadedVocabulary out_;
};

}  // namespace

Result<LoadedVocabulary> load_vocabulary(const GgufFile& file, VocabularyForm form) {
  return Loader(file, form).load();
}

std::optional<uint8_t> byte_token_value(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<uint8_t>(value);
}

void append_byte_level(std::string_view text, std::string* out) {
  // GPT-2: the bytes that print stand for themselves, the others for U+0100 and on, in order.
  static constexpr auto kByteOf = [] {
    std::array<int16_t, 256 + 68> table{};
    table.fill(-1);
    int16_t next = 256;
    for (int16_t byte = 0; byte < 256; ++byte) {
      const bool prints = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
      table[prints ? byte : next++] = byte;
    }
    return table;
  }();
  while (!text.empty()) {
    if (static_cast<uint8_t>(text[0]) < 0x80) {  // of the alphabet or not, it stays as it is
      out->push_back(text[0]);
      text.remove_prefix(1);
      continue;
    }
    uint32_t code_point = 0;
    const int length = utf8_decode(text, &code_point);
    if (length > 0 && code_point < kByteOf.size() && kByteOf[code_point] >= 0) {
      out->push_back(static_cast<char>(kByteOf[code_point]));
    } else {
      out->append(text, 0, std::max(length, 1));
    }
    text.remove_prefix(std::max(length, 1));
  }
}

void append_with_spaces(std::string_view text, std::string* out) {
  for (size_t mark; (mark = text.find(kSpaceMark)) != std::string_view::npos;) {
    out->append(text, 0, mark);
    out->push_back(' ');
    text.remove_prefix(mark + kSpaceMark.size());
  }
  out->append(text);
}

}  // namespace nibble
