// How a block of the KV cache is read and written, for each of its formats (ToKvArgs in abi.h).
//
// A cache type K has K::Keys, which reads an element of 16 neighbouring keys at once, K::value,
// which reads 16 neighbouring elements of one value, and K::put, which stores a position. What it
// reads is a float exactly: an int8 or int4 times a half has at most 19 significant bits. So
// attention over a quantised cache is attention over an f32 cache that holds the same numbers, to
// the bit. Read next: attention_inl.h.
#pragma once

#include "simd/block_inl.h"
#include "simd/elementwise_inl.h"
#include "simd/vec16_inl.h"

namespace nibble {
namespace {

// Floats, or halves.
template <class V, class E>
struct PlainKv {
  static constexpr size_t kHalves = 1;  // all of head_dim in one

  struct Keys {
    const E* at;
    void seek(const void* block, size_t head_dim, size_t group, size_t d) {
      at = static_cast<const E*>(block) + (group * head_dim + d) * NIBBLE_LANES;
    }
    V load(Index<0>, size_t i) const { return V::load(at + i * NIBBLE_LANES); }
  };

  static V value(const void* block, size_t head_dim, size_t j, size_t d) {
    return V::load(static_cast<const E*>(block) + j * head_dim + d);
  }
  static V value_n(const void* block, size_t head_dim, size_t j, size_t d, size_t n) {
    return V::load_n(static_cast<const E*>(block) + j * head_dim + d, n);
  }

  static void put(const ToKvArgs* a) {
    E* keys = static_cast<E*>(a->k_block) + a->slot / NIBBLE_LANES * a->head_dim * NIBBLE_LANES +
              a->slot % NIBBLE_LANES;
    E* values = static_cast<E*>(a->v_block) + a->slot * a->head_dim;
    for (size_t d = 0; d < a->head_dim; d += NIBBLE_LANES) {
      const size_t n = a->head_dim - d < NIBBLE_LANES ? a->head_dim - d : NIBBLE_LANES;
      E key[NIBBLE_LANES];
      V::load_n(a->k + d, n).store(key);
      for (size_t i = 0; i < n; ++i) keys[(d + i) * NIBBLE_LANES] = key[i];
      V::load_n(a->v + d, n).store_n(values + d, n);
    }
  }
};

// Blocks of 32 as Q8_0 and Q4_0 files have them, for values.
struct Q8Block {
  F16 scale;
  int8_t q[NIBBLE_BLOCK];
};
struct Q4Block {
  F16 scale;
  uint8_t q[NIBBLE_BLOCK / 2];  // low nibbles: the first 16
};
static_assert(sizeof(Q8Block) == 34 && sizeof(Q4Block) == 18);

// The same of 16 keys side by side.
struct Q8Keys {
  F16 scales[NIBBLE_LANES];
  int8_t q[NIBBLE_BLOCK][NIBBLE_LANES];
};
struct Q4Keys {
  F16 scales[NIBBLE_LANES];
  uint8_t q[NIBBLE_BLOCK / 2][NIBBLE_LANES];
};

// Elements kHalf * 16 + i of a block, as integers.
template <class V, size_t kHalf>
inline V load_q(const int8_t (*q)[NIBBLE_LANES], size_t i) {
  return V::load(q[kHalf * NIBBLE_LANES + i]);
}
template <class V, size_t kHalf>
inline V load_q(const uint8_t (*q)[NIBBLE_LANES], size_t i) {
  return kHalf == 0 ? V::load_low(q[i]) : V::load_high(q[i]);
}
template <class V>
inline V load_half(const Q8Block& block, bool high) {
  return V::load(block.q + (high ? NIBBLE_LANES : 0));
}
template <class V>
inline V load_half(const Q4Block& block, bool high) {
  return high ? V::load_high(block.q) : V::load_low(block.q);
}

template <class V>
inline void quantize_block(const float* x, Q8Block* block) {
  struct {
    float d;
    int32_t neg8;
    int8_t q[NIBBLE_BLOCK];
    int32_t neg64[2];
  } panel;  // of one token, as layout.h draws it
  static_assert(sizeof(panel) == NIBBLE_PANEL_BLOCK_BYTES);
  const QuantizeArgs args = {x, NIBBLE_BLOCK, &panel, 1, 0};
  quantize_row<V>(&args);
  block->scale.bits = f16_from_f32(panel.d);
  memcpy(block->q, panel.q, sizeof(block->q));
}
template <class V>
inline void quantize_block(const float* x, Q4Block* block) {
  float error_squares;
  const ToQ4_0Args args = {x, NIBBLE_BLOCK, block, &error_squares};
  to_q4_0<V>(&args);
}

template <class V, class Block, class KeyBlock>
struct QuantizedKv {
  static constexpr size_t kHalves = NIBBLE_BLOCK / NIBBLE_LANES;  // of a block

  struct Keys {
    const KeyBlock* block;
    V scale;
    void seek(const void* k_block, size_t head_dim, size_t group, size_t d) {
      block = static_cast<const KeyBlock*>(k_block) + (group * head_dim + d) / NIBBLE_BLOCK;
      scale = V::load(block->scales);
    }
    template <size_t kHalf>
    V load(Index<kHalf>, size_t i) const {
      return load_q<V, kHalf>(block->q, i) * scale;
    }
  };

  static V value(const void* v_block, size_t head_dim, size_t j, size_t d) {
    const Block& block = static_cast<const Block*>(v_block)[(j * head_dim + d) / NIBBLE_BLOCK];
    return load_half<V>(block, d % NIBBLE_BLOCK != 0) * V::splat(block.scale);
  }
  // There are no parts of 16: head_dim is a multiple of NIBBLE_BLOCK.
  static V value_n(const void*, size_t, size_t, size_t, size_t) { return V::splat(0.0f); }

  static void put(const ToKvArgs* a) {
    const size_t blocks = a->head_dim / NIBBLE_BLOCK;
    KeyBlock* keys = static_cast<KeyBlock*>(a->k_block) + a->slot / NIBBLE_LANES * blocks;
    Block* values = static_cast<Block*>(a->v_block) + a->slot * blocks;
    const size_t lane = a->slot % NIBBLE_LANES;
    for (size_t b = 0; b < blocks; ++b) {
      Block key;
      quantize_block<V>(a->k + b * NIBBLE_BLOCK, &key);
      keys[b].scales[lane] = key.scale;
      for (size_t i = 0; i < sizeof(key.q); ++i) keys[b].q[i][lane] = key.q[i];
      quantize_block<V>(a->v + b * NIBBLE_BLOCK, &values[b]);
    }
  }
};

template <class V>
using Q8Kv = QuantizedKv<V, Q8Block, Q8Keys>;
template <class V>
using Q4Kv = QuantizedKv<V, Q4Block, Q4Keys>;

}  // namespace
}  // namespace nibble
