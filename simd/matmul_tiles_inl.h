// The outer loops of every packed int8 matmul: which tile of weights meets which panel of tokens.
//
// A kernel is a type with the arithmetic of one tile (kRows rows over the whole depth) against T
// tokens of one panel; matmul_tiles() calls it for all rows and tokens:
//
//   struct Tile {
//     static constexpr size_t kRows;
//     static constexpr size_t kBlocks, kSpanBytes;  // one row's kBlocks blocks of 32 columns
//     static constexpr int kTokens;                // most tokens at once
//     template <int T> static void run(const TileJob* job);
//   };
//
// Order: a group of tiles that stays in L2; within it panel by panel; within it tile by tile. So
// weights come from memory once whatever m is, and a panel is read from L2 for every tile. Callers
// share work by rows and pass all their tokens at once: splitting m would read the weights again.
//
// Read next: matmul_zmm_inl.h and matmul_ymm_inl.h (the tiles), layout.h (the drawings).
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simd/abi.h"
#include "simd/block_inl.h"
#include "simd/inline_inl.h"

namespace nibble {

// Packed weights in one group of tiles: half of the smallest L2 in use (Haswell to Skylake: 256
// KiB). Larger groups gained nothing on 2 MiB.
#define NIBBLE_TILE_GROUP_BYTES (128 * 1024)

// How far ahead weights are prefetched. The hardware's prefetcher stops at page borders and starts
// anew in each; 4 KiB ahead took decode from 80 % to 100 % of the plain read bandwidth (Xeon 6
// cores of Emerald Rapids; 2 and 8 KiB were as good). Into L2 rather than L1: 6 % faster on Granite
// Rapids, whose L1 has too few fill buffers for its memory's latency.
#define NIBBLE_PREFETCH_BYTES 4096

// One tile against T tokens of one panel.
typedef struct TileJob {
  const uint8_t* w;  // the tile's first block
  const uint8_t* x;  // the panel
  size_t blocks;     // of depth
  size_t mt;         // tokens in the panel
  size_t t;          // the first token wanted
  float* y;          // of token t, first row of the tile
  size_t y_stride;
  size_t rows;  // rows to write, <= kRows
} TileJob;

typedef void (*TileFn)(const TileJob*);

static inline float load_f32(const uint8_t* p) {
  float value;
  memcpy(&value, p, sizeof(value));
  return value;
}

static inline int32_t load_i32(const uint8_t* p) {
  int32_t value;
  memcpy(&value, p, sizeof(value));
  return value;
}

static inline size_t min_size(size_t a, size_t b) {
  return a < b ? a : b;
}

// The tile function for `tokens` <= T tokens.
template <typename Tile, int T>
static inline TileFn tile_fn(size_t tokens) {
  if constexpr (T > 1) {
    if (tokens < T) return tile_fn<Tile, T - 1>(tokens);
  }
  return Tile::template run<T>;
}

// One panel against tiles [first, last).
template <typename Tile>
static inline void panel_tiles(const MatmulArgs* a, size_t token, size_t first, size_t last) {
  const size_t blocks = a->k / NIBBLE_BLOCK;
  const size_t tile_bytes = Tile::kRows * (blocks / Tile::kBlocks) * Tile::kSpanBytes;
  const size_t mt = min_size(a->m - token, NIBBLE_PANEL);
  const uint8_t* panel = (const uint8_t*)a->x + token * blocks * NIBBLE_PANEL_BLOCK_BYTES;
  for (size_t i = first; i < last; ++i) {
    const size_t row = i * Tile::kRows;
    for (size_t t = 0; t < mt; t += Tile::kTokens) {
      const TileJob job = {
          .w = (const uint8_t*)a->w + i * tile_bytes,
          .x = panel,
          .blocks = blocks,
          .mt = mt,
          .t = t,
          .y = a->y + (token + t) * a->y_stride + row,
          .y_stride = a->y_stride,
          .rows = min_size(a->n - row, Tile::kRows),
      };
      tile_fn<Tile, Tile::kTokens>(mt - t)(&job);
    }
  }
}

template <typename Tile>
static inline void matmul_tiles(const MatmulArgs* a) {
  const size_t spans = a->k / NIBBLE_BLOCK / Tile::kBlocks;
  const size_t tile_bytes = Tile::kRows * spans * Tile::kSpanBytes;
  const size_t group = 1 + NIBBLE_TILE_GROUP_BYTES / tile_bytes;
  const size_t tiles = (a->n + Tile::kRows - 1) / Tile::kRows;
  for (size_t first = 0; first < tiles; first += group) {
    const size_t last = min_size(first + group, tiles);
    for (size_t token = 0; token < a->m; token += NIBBLE_PANEL) {
      panel_tiles<Tile>(a, token, first, last);
    }
  }
}

namespace {

template <typename Tile>
constexpr KernelEntry block_entry(Format format, const char* name) {
  return {Op::kMatmul,
          format,
          Activation::kQ8,
          Tile::kRows == 8 ? Layout::kRows8 : Layout::kRows16,
          Tile::kRows,
          {.matmul = matmul_tiles<Tile>},
          name};
}

// Every block format, of a level whose tiles are one template.
template <template <Format> class Tile>
constexpr KernelEntry kBlockMatmul[] = {
    block_entry<Tile<Format::kQ4_0>>(Format::kQ4_0, "q4_0"),
    block_entry<Tile<Format::kQ8_0>>(Format::kQ8_0, "q8_0"),
    block_entry<Tile<Format::kQ4_1>>(Format::kQ4_1, "q4_1"),
    block_entry<Tile<Format::kQ5_0>>(Format::kQ5_0, "q5_0"),
    block_entry<Tile<Format::kQ5_1>>(Format::kQ5_1, "q5_1"),
    block_entry<Tile<Format::kQ2_K>>(Format::kQ2_K, "q2_k"),
    block_entry<Tile<Format::kQ3_K>>(Format::kQ3_K, "q3_k"),
    block_entry<Tile<Format::kQ4_K>>(Format::kQ4_K, "q4_k"),
    block_entry<Tile<Format::kQ5_K>>(Format::kQ5_K, "q5_k"),
    block_entry<Tile<Format::kQ6_K>>(Format::kQ6_K, "q6_k"),
    block_entry<Tile<Format::kIQ4_NL>>(Format::kIQ4_NL, "iq4_nl"),
    block_entry<Tile<Format::kIQ4_XS>>(Format::kIQ4_XS, "iq4_xs"),
    block_entry<Tile<Format::kIQ3_S>>(Format::kIQ3_S, "iq3_s"),
    block_entry<Tile<Format::kIQ3_XXS>>(Format::kIQ3_XXS, "iq3_xxs"),
    block_entry<Tile<Format::kIQ2_XXS>>(Format::kIQ2_XXS, "iq2_xxs"),
    block_entry<Tile<Format::kIQ2_XS>>(Format::kIQ2_XS, "iq2_xs"),
    block_entry<Tile<Format::kIQ2_S>>(Format::kIQ2_S, "iq2_s"),
    block_entry<Tile<Format::kTQ1_0>>(Format::kTQ1_0, "tq1_0"),
    block_entry<Tile<Format::kTQ2_0>>(Format::kTQ2_0, "tq2_0"),
    block_entry<Tile<Format::kMXFP4>>(Format::kMXFP4, "mxfp4"),
};

}  // namespace
}  // namespace nibble
