#include "runtime/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "runtime/machine/placement.h"
#include "simd/abi.h"

namespace nibble {
namespace {

size_t blocks_of(size_t window, int64_t context, int64_t batch) {
  auto positions = static_cast<size_t>(context);
  if (window != 0) positions = std::min(positions, window + static_cast<size_t>(batch) - 1);
  return (positions + NIBBLE_KEY_BLOCK - 1) / NIBBLE_KEY_BLOCK;
}

// Keys or values of one head in one block.
size_t block_size(const KvShape& shape, Format format) {
  return NIBBLE_KEY_BLOCK * row_bytes(format, shape.head_dim);
}

}  // namespace

uint64_t KvCache::bytes(const KvShape& shape, int64_t context, int64_t batch, Format format) {
  uint64_t blocks = 0;
  for (const size_t window : shape.windows) blocks += blocks_of(window, context, batch);
  return blocks * shape.kv_heads * block_size(shape, format) * 2;
}

Result<KvCache> KvCache::create(const KvShape& shape, int64_t context, int64_t batch,
                                Format format) {
  KvCache cache;
  cache.shape_ = shape;
  cache.context_ = context;
  cache.batch_ = batch;
  cache.format_ = format;
  const uint64_t total = bytes(shape, context, batch, format);
  auto buffer = Buffer::allocate(total, "the KV cache");
  if (!buffer) {
    return Error{buffer.error().code, buffer.error().message + "; try a context of " +
                                          std::to_string(std::max<int64_t>(context / 2, 128)) +
                                          " instead of " + std::to_string(context)};
  }
  cache.buffer_ = std::move(*buffer);
  size_t offset = 0;
  for (const size_t window : shape.windows) {
    const size_t blocks = blocks_of(window, context, batch);
    cache.layers_.push_back({blocks, offset});
    offset += blocks * shape.kv_heads * block_size(shape, format) * 2;
  }
  return cache;
}

void KvCache::place(std::span<const int> nodes) const {
  if (!nodes.empty()) place_pages(buffer_.as(), buffer_.size(), nodes);
}

size_t KvCache::block_bytes() const {
  return block_size(shape_, format_);
}

uint8_t* KvCache::k_block(size_t layer, size_t head, size_t block) const {
  const Layer& l = layers_[layer];
  // Keys and values of a block lie side by side: attention reads one after the other.
  return buffer_.as() + l.offset + (head * l.blocks + block % l.blocks) * 2 * block_bytes();
}

uint8_t* KvCache::v_block(size_t layer, size_t head, size_t block) const {
  return k_block(layer, head, block) + block_bytes();
}

uint64_t KvCache::read_bytes(const KvShape& shape, int64_t position, Format format) {
  const uint64_t position_bytes = row_bytes(format, shape.head_dim) * 2 * shape.kv_heads;
  uint64_t total = 0;
  for (const size_t window : shape.windows) {
    const auto seen = static_cast<uint64_t>(position) + 1;
    total += (window == 0 ? seen : std::min<uint64_t>(seen, window)) * position_bytes;
  }
  return total;
}

size_t KvCache::state_bytes() const {
  return layers_.size() * shape_.kv_heads * 2 * block_bytes();
}

bool KvCache::save_block(size_t block, int64_t position, uint8_t* to) const {
  const auto stored = static_cast<size_t>(position);
  if ((block + 1) * NIBBLE_KEY_BLOCK > stored) return false;
  for (const Layer& layer : layers_) {
    if (stored - block * NIBBLE_KEY_BLOCK > layer.blocks * NIBBLE_KEY_BLOCK) return false;
  }
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    for (size_t head = 0; head < shape_.kv_heads; ++head, to += 2 * block_bytes()) {
      std::memcpy(to, k_block(layer, head, block), 2 * block_bytes());  // its values too
    }
  }
  return true;
}

void KvCache::load_block(size_t block, const uint8_t* from) {
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    for (size_t head = 0; head < shape_.kv_heads; ++head, from += 2 * block_bytes()) {
      std::memcpy(k_block(layer, head, block), from, 2 * block_bytes());
    }
  }
}

int64_t KvCache::rewindable(int64_t position) const {
  int64_t result = position;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (shape_.windows[i] == 0) continue;
    const auto kept = static_cast<int64_t>(layers_[i].blocks * NIBBLE_KEY_BLOCK);
    if (position <= kept) continue;  // the ring has not wrapped
    result = std::min(result, kept - static_cast<int64_t>(shape_.windows[i]) + 1);
  }
  return std::max<int64_t>(result, 0);
}

}  // namespace nibble
