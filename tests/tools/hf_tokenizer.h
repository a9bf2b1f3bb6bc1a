// tokenizer.json for vocabularies of tests/text/synthetic.h and of GGUF files.
#pragma once

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "runtime/text/utf8.h"
#include "tests/text/synthetic.h"

namespace nibble::tools_test {

inline void add_vocabulary(const std::vector<testing::Token>& tokens, nlohmann::json* tokenizer) {
  nlohmann::json vocabulary = nlohmann::json::object(), added = nlohmann::json::array();
  for (size_t id = 0; id < tokens.size(); ++id) {
    const testing::Token& token = tokens[id];
    vocabulary[token.text] = id;
    if (token.type < 2 || token.type > 4) continue;
    added.push_back({{"id", id}, {"content", token.text}, {"special", token.type != 4}});
  }
  (*tokenizer)["model"]["vocab"] = std::move(vocabulary);
  (*tokenizer)["added_tokens"] = std::move(added);
}

// As the converter of transformers makes it from a SentencePiece model: every way to make a piece
// of two others, the pieces of the best score first.
inline nlohmann::json spm_tokenizer_json(const std::vector<testing::Token>& tokens) {
  std::map<std::string, size_t> ids;
  std::vector<size_t> order;
  for (size_t id = 0; id < tokens.size(); ++id) {
    ids.emplace(tokens[id].text, id);
    if (tokens[id].type == 1) order.push_back(id);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return tokens[a].score > tokens[b].score; });
  nlohmann::json merges = nlohmann::json::array();
  for (const size_t id : order) {
    const std::string& text = tokens[id].text;
    uint32_t ignored = 0;
    for (size_t at = 0; at < text.size();) {
      at += static_cast<size_t>(
          std::max(utf8_decode(std::string_view(text).substr(at), &ignored), 1));
      const auto left = ids.find(text.substr(0, at)), right = ids.find(text.substr(at));
      if (left == ids.end() || right == ids.end()) continue;
      merges.push_back({left->first, right->first});
    }
  }
  nlohmann::json tokenizer = {
      {"normalizer", {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}}},
      {"pre_tokenizer", {{"type", "Split"}, {"pattern", {{"String", " "}}}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {{{"SpecialToken", {{"id", "<bos>"}}}}, {{"Sequence", {{"id", "A"}}}}}}}},
      {"model",
       {{"type", "BPE"},
        {"byte_fallback", true},
        {"unk_token", "<unk>"},
        {"merges", std::move(merges)}}}};
  add_vocabulary(tokens, &tokenizer);
  return tokenizer;
}

inline const char* const kQwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

// Merges as "a b", the form of older files.
inline nlohmann::json byte_level_tokenizer_json(const std::vector<testing::Token>& tokens,
                                                const std::vector<std::string>& merges,
                                                const std::string& pattern) {
  nlohmann::json tokenizer = {
      {"normalizer", {{"type", "NFC"}}},
      {"pre_tokenizer",
       {{"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}},
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}},
      {"post_processor", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"byte_fallback", false}, {"merges", merges}}}};
  add_vocabulary(tokens, &tokenizer);
  return tokenizer;
}

}  // namespace nibble::tools_test
