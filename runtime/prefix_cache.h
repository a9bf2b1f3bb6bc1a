// Keys and values of what conversations have begun with, so that a system prompt or an earlier turn
// is computed once: a tree of blocks of NIBBLE_KEY_BLOCK tokens, each known by the block before it.
//
// A block holds the state of every layer at its own positions, saved before a sliding window's ring
// overwrites it; so any beginning can be put back, whatever the windows. What was least lately used
// goes first. Not thread-safe. Read next: batch.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <span>

#include "runtime/kv_cache.h"
#include "simd/abi.h"

namespace nibble {

class PrefixCache {
 public:
  struct Block {
    std::shared_ptr<const Block> before;  // null: the conversation's first
    std::array<int32_t, NIBBLE_KEY_BLOCK> tokens;
    Buffer state;
  };
  // Blocks that someone holds, or that have others behind them, stay.
  using Handle = std::shared_ptr<const Block>;

  // budget_bytes: of all blocks; 0: none is kept.
  explicit PrefixCache(uint64_t budget_bytes) : budget_(budget_bytes) {}

  // The block with these NIBBLE_KEY_BLOCK tokens behind `before`, or null.
  Handle find(const Handle& before, std::span<const int32_t> tokens);

  // Keeps block number `block` of a cache that holds `position` positions. Null if it cannot be
  // kept: no room, or the cache no longer has all of it.
  Handle add(const Handle& before, std::span<const int32_t> tokens, const KvCache& cache,
             size_t block, int64_t position);

  uint64_t size() const { return size_; }
  size_t blocks() const { return blocks_.size(); }

 private:
  bool make_room(uint64_t bytes);

  uint64_t budget_;
  uint64_t size_ = 0;
  std::list<std::shared_ptr<const Block>> blocks_;  // the latest used first
};

}  // namespace nibble
