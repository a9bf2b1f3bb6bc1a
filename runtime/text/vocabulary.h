// The tokens of a model: texts, kinds, priorities, and the search by text.
//
// Texts are held as the bytes they stand for (SentencePiece's U+2581 as a space, byte-level BPE's
// alphabet decoded), one after the other in one buffer; the search is a flat hash table. Immutable
// and thread-safe once loaded. Read next: vocabulary_load.h, special_tokens.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

enum class TokenKind : uint8_t {
  kNormal,
  kUnknown,      // stands for what has no token
  kControl,      // <end_of_turn>: never made from plain text
  kUserDefined,  // found in every text before anything else
  kByte,         // <0x41>: one byte of a character that has no token
};

class Vocabulary {
 public:
  Vocabulary();

  // Adds the next token, in order of id. Of several with one text the first is found. A smaller
  // `priority` is merged first. `text` of a byte token is that byte.
  void reserve(size_t tokens, size_t text_bytes);
  void add(std::string_view text, TokenKind kind, uint32_t priority);
  // Makes the search ready; to be called once after the last add(). Returns how many tokens have
  // the same text as an earlier one.
  size_t finish();

  size_t size() const { return kinds_.size(); }
  bool contains(int32_t id) const { return id >= 0 && static_cast<size_t>(id) < size(); }
  std::string_view text(int32_t id) const {
    return std::string_view(texts_).substr(starts_[id], starts_[id + 1] - starts_[id]);
  }
  TokenKind kind(int32_t id) const { return kinds_[id]; }
  uint32_t priority(int32_t id) const { return priorities_[id]; }
  size_t longest() const { return longest_; }  // bytes of the longest normal token

  // The normal or user-defined token with this text, or -1.
  int32_t find(std::string_view text) const;
  // The byte token, or -1.
  int32_t byte(uint8_t value) const { return bytes_[value]; }

 private:
  struct Slot {
    uint32_t tag = 0;  // upper half of the hash
    int32_t id = -1;   // -1: free
  };

  std::string texts_;
  std::vector<uint32_t> starts_ = {0};
  std::vector<TokenKind> kinds_;
  std::vector<uint32_t> priorities_;
  std::array<int32_t, 256> bytes_;
  std::vector<Slot> slots_;
  uint64_t seed_;
  size_t longest_ = 0;
};

// A fast hash of short texts. Differs by seed, so that no file can be made to collide.
uint64_t hash_text(std::string_view text, uint64_t seed);

}  // namespace nibble
