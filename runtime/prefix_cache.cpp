#include "runtime/prefix_cache.h"

#include <algorithm>
#include <iterator>

namespace nibble {

PrefixCache::Handle PrefixCache::find(const Handle& before, std::span<const int32_t> tokens) {
  const auto found = std::find_if(blocks_.begin(), blocks_.end(), [&](const Handle& block) {
    return block->before == before && std::ranges::equal(block->tokens, tokens);
  });
  if (found == blocks_.end()) return nullptr;
  blocks_.splice(blocks_.begin(), blocks_, found);
  return *found;
}

PrefixCache::Handle PrefixCache::add(const Handle& before, std::span<const int32_t> tokens,
                                     const KvCache& cache, size_t block, int64_t position) {
  if (Handle known = find(before, tokens)) return known;
  const uint64_t bytes = cache.state_bytes();
  if (!make_room(bytes)) return nullptr;
  auto state = Buffer::allocate(bytes, "the prefix cache");
  if (!state || !cache.save_block(block, position, state->as())) return nullptr;
  auto made = std::make_shared<Block>();
  made->before = before;
  std::ranges::copy(tokens, made->tokens.begin());
  made->state = std::move(*state);
  blocks_.push_front(std::move(made));
  size_ += bytes;
  return blocks_.front();
}

bool PrefixCache::make_room(uint64_t bytes) {
  if (bytes > budget_) return false;
  auto block = blocks_.end();
  while (size_ + bytes > budget_ && block != blocks_.begin()) {
    --block;
    if (block->use_count() > 1) continue;
    size_ -= (*block)->state.size();
    block = blocks_.erase(block);
  }
  return size_ + bytes <= budget_;
}

}  // namespace nibble
