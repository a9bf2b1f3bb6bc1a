#include "runtime/text/vocabulary.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>

namespace nibble {
namespace {

constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio

uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * kMultiplier;
  return hash ^ hash >> 29;
}

template <typename Word>
uint64_t load(const char* from) {
  Word word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

// The last 0 to 8 bytes in one word, without a copy of unknown length.
uint64_t load_tail(const char* from, size_t bytes) {
  if (bytes >= 4) return load<uint32_t>(from) | load<uint32_t>(from + bytes - 4) << 32;
  if (bytes == 0) return 0;
  const auto byte = [&](size_t i) { return static_cast<uint64_t>(static_cast<uint8_t>(from[i])); };
  return byte(0) | byte(bytes / 2) << 8 | byte(bytes - 1) << 16;
}

}  // namespace

uint64_t hash_text(std::string_view text, uint64_t seed) {
  uint64_t hash = seed ^ text.size();
  const char* at = text.data();
  size_t left = text.size();
  for (; left > 8; at += 8, left -= 8) hash = mix(hash, load<uint64_t>(at));
  return mix(mix(hash, load_tail(at, left)), seed);
}

Vocabulary::Vocabulary() {
  bytes_.fill(-1);
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  seed_ = mix(reinterpret_cast<uintptr_t>(this), static_cast<uint64_t>(now)) | 1;
}

void Vocabulary::reserve(size_t tokens, size_t text_bytes) {
  texts_.reserve(text_bytes);
  starts_.reserve(tokens + 1);
  kinds_.reserve(tokens);
  priorities_.reserve(tokens);
}

void Vocabulary::add(std::string_view text, TokenKind kind, uint32_t priority) {
  texts_ += text;
  starts_.push_back(static_cast<uint32_t>(texts_.size()));
  kinds_.push_back(kind);
  priorities_.push_back(priority);
}

size_t Vocabulary::finish() {
  slots_.assign(std::bit_ceil(size() * 2 + 1), {});
  const size_t mask = slots_.size() - 1;
  size_t repeated = 0;
  const int32_t count = static_cast<int32_t>(size());
  std::vector<uint64_t> hashes(size());
  for (int32_t id = 0; id < count; ++id) hashes[id] = hash_text(text(id), seed_);
  for (int32_t id = 0; id < count; ++id) {
    // The table is larger than the cache: ask for the lines of the tokens to come.
    __builtin_prefetch(&slots_[hashes[std::min(id + 16, count - 1)] & mask], 1);
    const std::string_view own = text(id);
    if (kind(id) == TokenKind::kByte) {
      int32_t& byte = bytes_[static_cast<uint8_t>(own[0])];
      byte < 0 ? void(byte = id) : void(++repeated);
      continue;
    }
    if (own.empty() || kind(id) == TokenKind::kControl || kind(id) == TokenKind::kUnknown) continue;
    const uint32_t tag = static_cast<uint32_t>(hashes[id] >> 32);
    size_t slot = hashes[id] & mask;
    while (slots_[slot].id >= 0 && !(slots_[slot].tag == tag && text(slots_[slot].id) == own)) {
      slot = (slot + 1) & mask;
    }
    if (slots_[slot].id >= 0) {
      ++repeated;
      continue;
    }
    slots_[slot] = {tag, id};
    longest_ = std::max(longest_, own.size());
  }
  return repeated;
}

int32_t Vocabulary::find(std::string_view wanted) const {
  if (wanted.size() > longest_) return -1;
  const uint64_t hash = hash_text(wanted, seed_);
  const uint32_t tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash & mask; slots_[slot].id >= 0; slot = (slot + 1) & mask) {
    if (slots_[slot].tag == tag && text(slots_[slot].id) == wanted) return slots_[slot].id;
  }
  return -1;
}

}  // namespace nibble
