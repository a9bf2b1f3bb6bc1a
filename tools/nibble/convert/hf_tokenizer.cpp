#include "tools/nibble/convert/hf_tokenizer.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string_view>

#include "runtime/file/concat.h"
#include "runtime/text/utf8.h"
#include "runtime/text/vocabulary_load.h"
#include "tools/nibble/convert/hf_chat.h"

namespace nibble::cli {
namespace {

constexpr uint64_t kTokenizerBytesMax = uint64_t{256} << 20;

enum TokenType : int64_t {  // of GGUF
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

// How words are cut, by the steps of tokenizer.json's pre_tokenizer; GGUF has a name for each.
struct WordRule {
  std::string_view steps, name;
};
constexpr WordRule kWordRules[] = {
    {R"(split (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
     R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+, bytes)",
     "llama-bpe"},
    {R"(split (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
     R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+, bytes)",
     "qwen2"},
    {"digits, words and bytes", "smollm"},
    {"words and bytes", "gpt-2"},
};

// Tokens that are marks by their form, also where no flag says so.
bool looks_like_control(std::string_view text) {
  return (text.starts_with("<|") && text.ends_with("|>")) ||
         (text.starts_with("<unused") && text.ends_with(">")) || text == "<pad>" ||
         text == "<mask>" || text == "<start_of_turn>" || text == "<end_of_turn>";
}

// A step of a normalizer, pre_tokenizer or post_processor, which is one or a sequence of them.
using Steps = std::vector<JsonObject>;
Result<Steps> steps_of(const JsonObject& tokenizer, const char* key, const char* sequence) {
  Steps steps;
  NIBBLE_TRY(const std::optional<JsonObject> one, tokenizer.object(key));
  if (!one) return steps;
  NIBBLE_TRY(const Json* several, one->array(sequence));
  if (several == nullptr) {
    steps.push_back(*one);
    return steps;
  }
  for (const Json& step : *several) {
    if (!step.is_object()) return one->error(sequence, "holds something that is no object");
    steps.emplace_back(tokenizer.path(), step, concat(key, "."));
  }
  return steps;
}

class Converter {
 public:
  Converter(const JsonObject& tokenizer, const JsonObject& model, uint64_t vocabulary,
            Metadata* metadata, std::vector<std::string>* notes)
      : tokenizer_(tokenizer),
        model_(model),
        metadata_(*metadata),
        notes_(*notes),
        texts_(vocabulary),
        types_(vocabulary, kUnused) {}

  Result<ConvertedTokens> convert() {
    NIBBLE_TRY(const std::string type, model_.text("type", "BPE"));
    if (type != "BPE") {
      return model_.error("type",
                          concat("is ", nibble::quoted(type), "; nibble converts BPE tokenizers"));
    }
    NIBBLE_TRY(const bool byte_level, is_byte_level());
    NIBBLE_TRY_VOID(read_tokens(byte_level));
    NIBBLE_TRY_VOID(read_added_tokens());
    NIBBLE_TRY(const Json* merges, model_.array("merges"));
    if (merges == nullptr) return model_.error("merges", "is missing");
    metadata_.add_string("tokenizer.ggml.model", byte_level ? "gpt2" : "llama");
    if (byte_level) {
      NIBBLE_TRY_VOID(add_merges(*merges));
    } else {
      NIBBLE_TRY_VOID(add_scores(*merges));
    }
    NIBBLE_TRY_VOID(read_beginning(byte_level));
    add_tokens();
    return std::move(out_);
  }

 private:
  // Byte-level BPE is known by how it cuts words; the other kind spells bytes as <0x41>.
  Result<bool> is_byte_level() {
    NIBBLE_TRY(const Steps steps, steps_of(tokenizer_, "pre_tokenizer", "pretokenizers"));
    std::string known;
    bool bytes = false;
    for (const JsonObject& step : steps) {
      NIBBLE_TRY(const std::string type, step.text("type"));
      NIBBLE_TRY(const bool space, step.truth("add_prefix_space", false));
      NIBBLE_TRY(const bool regex, step.truth("use_regex", true));
      NIBBLE_TRY(const bool single, step.truth("individual_digits", false));
      NIBBLE_TRY(const std::optional<JsonObject> pattern, step.object("pattern"));
      std::string what = type;
      if (type == "ByteLevel" && !space) what = regex ? "words and bytes" : "bytes";
      if (type == "Digits" && single) what = "digits";
      if (type == "Split" && pattern) {
        NIBBLE_TRY(const std::string text, pattern->text("Regex", ""));
        if (!text.empty()) what = concat("split ", text);
      }
      known += concat(known.empty() ? "" : ", ", what);
      bytes |= type == "ByteLevel";
    }
    if (!bytes) {
      NIBBLE_TRY(const bool fallback, model_.truth("byte_fallback", false));
      if (fallback) return false;
      return model_.error("byte_fallback",
                          "is not true, and there is no ByteLevel pre_tokenizer; nibble converts "
                          "these two kinds");
    }
    for (const WordRule& rule : kWordRules) {
      if (rule.steps == known) word_rule_ = rule.name;
    }
    if (word_rule_.empty()) {
      return tokenizer_.error(
          "pre_tokenizer", concat("cuts words in a way that nibble does not have (", known, ")"));
    }
    return true;
  }

  Error id_error(const char* key, std::string_view text, const Json& id) const {
    return model_.error(
        key, concat("token ", nibble::quoted(text), " has the id ", nibble::quoted(id.dump()),
                    ", must be below the ", texts_.size(), " rows of the embedding"));
  }

  Result<void> read_tokens(bool byte_level) {
    NIBBLE_TRY(const auto vocabulary, model_.object("vocab"));
    if (!vocabulary) return model_.error("vocab", "is missing");
    vocabulary_ = model_.find("vocab");
    NIBBLE_TRY(const std::string unknown, model_.text("unk_token", ""));
    for (const auto& [text, id] : vocabulary_->items()) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= texts_.size()) {
        return id_error("vocab", text, id);
      }
      const auto at = id.get<size_t>();
      if (types_[at] != kUnused) {
        return model_.error("vocab", concat("tokens ", nibble::quoted(texts_[at]), " and ",
                                            nibble::quoted(text), " have the same id ", at));
      }
      texts_[at] = text;
      types_[at] = !byte_level && byte_token_value(text) ? kByte : kNormal;
      if (text == unknown && !unknown.empty()) {
        types_[at] = kUnknown;
        metadata_.add_uint32("tokenizer.ggml.unknown_token_id", at);
      }
    }
    return {};
  }

  Result<void> read_added_tokens() {
    NIBBLE_TRY(const Json* added, tokenizer_.array("added_tokens"));
    if (added == nullptr) return {};
    for (const Json& entry : *added) {
      if (!entry.is_object()) return tokenizer_.error("added_tokens", "holds no objects");
      const JsonObject token(tokenizer_.path(), entry, "added_tokens.");
      NIBBLE_TRY(const std::string text, token.text("content"));
      NIBBLE_TRY(const bool special, token.truth("special", false));
      const Json* id = token.find("id");
      if (id == nullptr) return token.error("id", "is missing");
      if (!id->is_number_unsigned() || id->get<uint64_t>() >= texts_.size()) {
        return id_error("added_tokens", text, *id);
      }
      const auto at = id->get<size_t>();
      texts_[at] = text;
      if (types_[at] == kUnknown || types_[at] == kByte) continue;
      types_[at] = special || looks_like_control(text) ? kControl : kUserDefined;
    }
    return {};
  }

  // The two halves of a merge: "a b", or in newer files ["a", "b"].
  Result<std::array<std::string, 2>> merge_at(const Json& merges, size_t rank) const {
    const Json& merge = merges[rank];
    std::array<std::string, 2> parts;
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      parts = {merge[0].get<std::string>(), merge[1].get<std::string>()};
    } else if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const size_t space = std::min(text.find(' ', 1), text.size());
      parts = {text.substr(0, space), text.substr(std::min(space + 1, text.size()))};
    }
    const auto known = [&](const std::string& text) { return vocabulary_->contains(text); };
    if (!parts[0].empty() && !parts[1].empty() && known(parts[0]) && known(parts[1]) &&
        known(parts[0] + parts[1])) {
      return parts;
    }
    return model_.error("merges", concat("entry ", rank, " (", nibble::quoted(merge.dump()),
                                         ") is not two tokens that make a third"));
  }

  Result<void> add_merges(const Json& merges) {
    metadata_.add_string("tokenizer.ggml.pre", std::string(word_rule_));
    GgufArray out;
    out.type = GgufType::kString;
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      NIBBLE_TRY(const auto parts, merge_at(merges, rank));
      if (parts[0].find(' ') != std::string::npos || parts[1].find(' ') != std::string::npos) {
        return model_.error("merges", concat("entry ", rank, " has a space in a token"));
      }
      out.strings.push_back(concat(parts[0], " ", parts[1]));
    }
    metadata_.add_array("tokenizer.ggml.merges", std::move(out));
    return {};
  }

  // SentencePiece merges the neighbours whose token has the best score: those that tokenizer.json
  // makes first. It makes one token in several ways, one after the other, so the first counts.
  Result<void> add_scores(const Json& merges) {
    NIBBLE_TRY_VOID(read_spaces());
    std::vector<double> scores(texts_.size());
    std::vector<bool> made(texts_.size());
    double next = 0;
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      NIBBLE_TRY(const auto parts, merge_at(merges, rank));
      const auto id = (*vocabulary_)[parts[0] + parts[1]].get<size_t>();
      if (!made[id]) scores[id] = -next++;
      made[id] = true;
    }
    size_t unmade = 0;
    for (size_t id = 0; id < texts_.size(); ++id) {
      if (made[id] || types_[id] != kNormal) continue;
      scores[id] = -next++;
      uint32_t code_point = 0;
      unmade += utf8_decode(texts_[id], &code_point) < static_cast<int>(texts_[id].size());
    }
    if (unmade > 0) {
      notes_.push_back(concat(unmade,
                              " tokens of several characters have no merge that makes them; "
                              "texts may come to them all the same"));
    }
    GgufArray array;
    array.type = GgufType::kFloat32;
    array.floats = std::move(scores);
    metadata_.add_string("tokenizer.ggml.pre", "default");
    metadata_.add_array("tokenizer.ggml.scores", std::move(array));
    return {};
  }

  // How spaces are marked, and whether one is put before a text.
  Result<void> read_spaces() {
    bool prefix = false, marked = false;
    NIBBLE_TRY(const Steps normalizers, steps_of(tokenizer_, "normalizer", "normalizers"));
    for (const JsonObject& step : normalizers) {
      NIBBLE_TRY(const std::string type, step.text("type"));
      if (type == "Prepend") {
        prefix = true;
      } else if (type == "Replace") {
        NIBBLE_TRY(const std::string content, step.text("content"));
        marked = content == kSpaceMark;
      } else {
        return step.error("type",
                          concat("is ", nibble::quoted(type), ", which nibble does not have"));
      }
    }
    NIBBLE_TRY(const Steps cutters, steps_of(tokenizer_, "pre_tokenizer", "pretokenizers"));
    for (const JsonObject& step : cutters) {
      NIBBLE_TRY(const std::string type, step.text("type"));
      if (type != "Metaspace") continue;  // what cuts at spaces finds none: they are marked before
      NIBBLE_TRY(const bool old_prefix, step.truth("add_prefix_space", true));
      NIBBLE_TRY(const std::string scheme,
                 step.text("prepend_scheme", old_prefix ? "always" : "never"));
      marked = true;
      prefix = scheme != "never";
    }
    if (!marked) return tokenizer_.error("normalizer", "does not write spaces as U+2581");
    metadata_.add_bool("tokenizer.ggml.add_space_prefix", prefix);
    return {};
  }

  // Whether a text begins with BOS, by the template that the tokenizer puts it in.
  Result<void> read_beginning(bool byte_level) {
    NIBBLE_TRY(const Steps steps, steps_of(tokenizer_, "post_processor", "processors"));
    out_.adds_bos = !byte_level && steps.empty();
    for (const JsonObject& step : steps) {
      NIBBLE_TRY(const Json* single, step.array("single"));
      if (single == nullptr || single->empty() || !(*single)[0].is_object()) continue;
      out_.adds_bos = (*single)[0].contains("SpecialToken");
    }
    return {};
  }

  void add_tokens() {
    GgufArray texts, types;
    texts.type = GgufType::kString;
    types.type = GgufType::kInt32;
    for (size_t id = 0; id < texts_.size(); ++id) {
      if (types_[id] == kUnused) texts_[id] = concat("[PAD", id, "]");
    }
    out_.texts = texts_;
    texts.strings = std::move(texts_);
    types.ints = std::move(types_);
    metadata_.add_array("tokenizer.ggml.tokens", std::move(texts));
    metadata_.add_array("tokenizer.ggml.token_type", std::move(types));
  }

  const JsonObject& tokenizer_;
  const JsonObject& model_;
  Metadata& metadata_;
  std::vector<std::string>& notes_;
  std::vector<std::string> texts_;
  std::vector<int64_t> types_;
  const Json* vocabulary_ = nullptr;
  std::string_view word_rule_;
  ConvertedTokens out_;
};

}  // namespace

Result<void> convert_tokenizer(const std::string& folder, const JsonObject& config,
                               uint64_t vocabulary, Metadata* metadata,
                               std::vector<std::string>* notes) {
  const std::string path = concat(folder, "/tokenizer.json");
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    return Error{ErrorCode::kNoInput,
                 concat(path,
                        ": is missing; download it with the model (tokenizer.model alone is "
                        "not enough)")};
  }
  NIBBLE_TRY(const Json json, read_json_object(path, kTokenizerBytesMax));
  const JsonObject tokenizer(path, json);
  NIBBLE_TRY(const std::optional<JsonObject> model, tokenizer.object("model"));
  if (!model) return tokenizer.error("model", "is missing");
  NIBBLE_TRY(const ConvertedTokens tokens,
             Converter(tokenizer, *model, vocabulary, metadata, notes).convert());
  return convert_chat(folder, config, tokens, metadata);
}

}  // namespace nibble::cli
