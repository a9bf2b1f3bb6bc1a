// Keys and values of what conversations have begun with, so that a system prompt or an earlier turn
// is computed once: a tree of blocks of NIBBLE_KEY_BLOCK tokens, each known by the block before it.
//
// A block holds the state of every layer at its own positions, saved before a sliding window's ring
// overwrites it; so any beginning can be put back, whatever the windows. What was least lately used
// goes first. Blocks that are used a second time may be kept on a disk too (prefix_store.h), and
// are found there when memory does not have them. Not thread-safe. Read next: batch.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <utility>

#include "runtime/kv_cache.h"
#include "runtime/prefix_store.h"
#include "simd/abi.h"

namespace nibble {

class PrefixCache {
 public:
  struct Block {
    std::shared_ptr<const Block> before;  // null: the conversation's first
    std::array<int32_t, NIBBLE_KEY_BLOCK> tokens;
    Buffer state;
    mutable bool offered = false;  // to the store
  };
  // Blocks that someone holds, or that have others behind them, stay.
  using Handle = std::shared_ptr<const Block>;

  // budget_bytes: of all blocks in memory; 0: none is kept.
  explicit PrefixCache(uint64_t budget_bytes, std::unique_ptr<PrefixStore> store = nullptr)
      : budget_(budget_bytes), store_(std::move(store)) {}

  // The block with these NIBBLE_KEY_BLOCK tokens behind `before`, or null. `state_bytes`: those of
  // the caches that it may be put into.
  Handle find(const Handle& before, std::span<const int32_t> tokens, size_t state_bytes);

  // Keeps block number `block` of a cache that holds `position` positions. Null if it cannot be
  // kept: no room, or the cache no longer has all of it.
  Handle add(const Handle& before, std::span<const int32_t> tokens, const KvCache& cache,
             size_t block, int64_t position);

  uint64_t size() const { return size_; }
  size_t blocks() const { return blocks_.size(); }
  PrefixStore* store() { return store_.get(); }

 private:
  Handle find_here(const Handle& before, std::span<const int32_t> tokens);
  Handle keep(const Handle& before, std::span<const int32_t> tokens, Buffer state);
  bool make_room(uint64_t bytes);

  uint64_t budget_;
  std::unique_ptr<PrefixStore> store_;  // null: memory alone
  uint64_t size_ = 0;
  std::list<std::shared_ptr<const Block>> blocks_;  // the latest used first
};

}  // namespace nibble
