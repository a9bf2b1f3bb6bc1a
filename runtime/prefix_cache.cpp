#include "runtime/prefix_cache.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace nibble {
namespace {

// The tokens of the conversation up to this block's last.
std::vector<int32_t> from_first(const PrefixCache::Handle& before,
                                std::span<const int32_t> tokens) {
  std::vector<const PrefixCache::Block*> chain;
  for (const PrefixCache::Block* at = before.get(); at != nullptr; at = at->before.get()) {
    chain.push_back(at);
  }
  std::vector<int32_t> all;
  all.reserve((chain.size() + 1) * NIBBLE_KEY_BLOCK);
  for (auto block = chain.rbegin(); block != chain.rend(); ++block) {
    all.insert(all.end(), (*block)->tokens.begin(), (*block)->tokens.end());
  }
  all.insert(all.end(), tokens.begin(), tokens.end());
  return all;
}

}  // namespace

PrefixCache::Handle PrefixCache::find_here(const Handle& before, std::span<const int32_t> tokens) {
  const auto found = std::find_if(blocks_.begin(), blocks_.end(), [&](const Handle& block) {
    return block->before == before && std::ranges::equal(block->tokens, tokens);
  });
  if (found == blocks_.end()) return nullptr;
  blocks_.splice(blocks_.begin(), blocks_, found);
  return *found;
}

PrefixCache::Handle PrefixCache::find(const Handle& before, std::span<const int32_t> tokens,
                                      size_t state_bytes) {
  Handle known = find_here(before, tokens);
  if (store_ == nullptr || (known != nullptr && known->offered)) return known;
  std::vector<int32_t> all = from_first(before, tokens);
  if (known != nullptr) {
    known->offered = true;
    store_->save(std::move(all), {known->state.as(), known->state.size()}, known);
    return known;
  }
  if (!store_->has(all) || !make_room(state_bytes)) return nullptr;
  auto state = Buffer::allocate(state_bytes, "the prefix cache");
  if (!state || !store_->load(all, {state->as(), state_bytes})) return nullptr;
  known = keep(before, tokens, std::move(*state));
  known->offered = true;
  return known;
}

PrefixCache::Handle PrefixCache::add(const Handle& before, std::span<const int32_t> tokens,
                                     const KvCache& cache, size_t block, int64_t position) {
  if (Handle known = find_here(before, tokens)) return known;
  const uint64_t bytes = cache.state_bytes();
  if (!make_room(bytes)) return nullptr;
  auto state = Buffer::allocate(bytes, "the prefix cache");
  if (!state || !cache.save_block(block, position, state->as())) return nullptr;
  return keep(before, tokens, std::move(*state));
}

PrefixCache::Handle PrefixCache::keep(const Handle& before, std::span<const int32_t> tokens,
                                      Buffer state) {
  auto made = std::make_shared<Block>();
  made->before = before;
  std::ranges::copy(tokens, made->tokens.begin());
  size_ += state.size();
  made->state = std::move(state);
  blocks_.push_front(std::move(made));
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
