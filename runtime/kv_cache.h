// The keys and values of one conversation, in blocks of NIBBLE_KEY_BLOCK positions.
//
// A layer that sees everything keeps `context` positions. A sliding-window layer keeps a ring: the
// window and the largest batch, since a batch's keys are stored before its queries look back.
// Position p of a layer lives in block (p / 128) mod blocks, slot p mod 128; kv heads follow one
// another, each with its own run of blocks. The layout of a block is that of ToKvArgs (simd/abi.h).
// Not thread-safe but for writes to different positions. Read next: ops/attention.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nibble/result.h"
#include "runtime/machine/memory.h"
#include "simd/format.h"

namespace nibble {

// What a model's layers need of a cache.
struct KvShape {
  size_t kv_heads = 0;
  size_t head_dim = 0;
  std::vector<size_t> windows;  // per layer; 0: the whole context
};

class KvCache {
 public:
  // `format` kF16 or kF32, or, where head_dim is a multiple of 32, kQ8_0 or kQ4_0. Error 71 says
  // what is needed and which context would fit.
  static Result<KvCache> create(const KvShape& shape, int64_t context, int64_t batch,
                                Format format);

  // Exact bytes of such a cache.
  static uint64_t bytes(const KvShape& shape, int64_t context, int64_t batch, Format format);

  // Block that holds logical block `block` (position / NIBBLE_KEY_BLOCK) of a layer's kv head.
  uint8_t* k_block(size_t layer, size_t head, size_t block) const;
  uint8_t* v_block(size_t layer, size_t head, size_t block) const;

  Format format() const { return format_; }
  int64_t context() const { return context_; }  // positions that a global layer keeps
  size_t window(size_t layer) const { return shape_.windows[layer]; }
  // Bytes that one decode step at `position` reads.
  uint64_t read_bytes(int64_t position) const { return read_bytes(shape_, position, format_); }
  static uint64_t read_bytes(const KvShape& shape, int64_t position, Format format);
  // How many of the last positions can be taken back and every layer still has what its window
  // needs, when `position` positions are stored.
  int64_t rewindable(int64_t position) const;
  uint64_t size() const { return buffer_.size(); }
  // Wants its pages from these memory nodes in turn, if there are any: the workers of all nodes
  // read a part, which changes with every token. Before anything is stored.
  void place(std::span<const int> nodes) const;

  // One block of every layer, to be kept and put into another cache of the same shape and format at
  // the same place: keys depend on their position.
  size_t state_bytes() const;
  // Copies logical block `block` to `to` [state_bytes()]; false, and nothing is copied, if one of
  // its positions is no longer held, or not yet, when `position` positions are stored.
  bool save_block(size_t block, int64_t position, uint8_t* to) const;
  void load_block(size_t block, const uint8_t* from);

 private:
  struct Layer {
    size_t blocks;
    size_t offset;  // of the layer's first key block in the buffer
  };
  size_t block_bytes() const;  // of the keys, or of the values, of one head

  KvShape shape_;
  int64_t context_ = 0;
  int64_t batch_ = 0;
  Format format_ = Format::kF16;
  std::vector<Layer> layers_;
  Buffer buffer_;
};

}  // namespace nibble
