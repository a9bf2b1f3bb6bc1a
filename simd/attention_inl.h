// Attention of query rows against one block of keys, and the KV-cache writer, once for every ISA.
//
// Rows are taken up to eight at a time, so that each key and value is loaded (and widened from f16)
// once for all of them; a block's scores stay on the stack. Each row's own order of operations is
// that of AttendArgs in abi.h, whatever rows are beside it. After the online softmax of Milakov and
// Gimelshein, arXiv:1805.02867. Read next: abi.h, math_inl.h.
#pragma once

#include "simd/elementwise_inl.h"
#include "simd/math_inl.h"
#include "simd/vec16_inl.h"

namespace nibble {
namespace {

// One query row with at least one key.
struct AttendRow {
  const float* q;
  float* out;
  float* max;
  float* sum;
  size_t begin, end;
  float scores[NIBBLE_KEY_BLOCK];  // then the weights p
  float keep, take;                // factors of the old and the new part of out
};

// Scores of G groups of 16 keys for R rows.
template <class V, class E, size_t R, size_t G>
NIBBLE_KERNEL void score_groups(AttendRow* rows, const E* keys, size_t head_dim, size_t group) {
  const size_t group_size = head_dim * NIBBLE_LANES;
  const E* from = keys + group * group_size;
  V sums[R][G];
  unroll<R>([&](auto r) { unroll<G>([&](size_t g) { sums[r][g] = V::splat(0.0f); }); });
  for (size_t d = 0; d < head_dim; ++d, from += NIBBLE_LANES) {
    V key[G];
    unroll<G>([&](size_t g) { key[g] = V::load(from + g * group_size); });
    unroll<R>([&](auto r) {
      const V q = V::splat(rows[r].q[d]);
      unroll<G>([&](size_t g) { sums[r][g] = fma(q, key[g], sums[r][g]); });
    });
  }
  unroll<R>([&](auto r) {
    float* scores = rows[r].scores + group * NIBBLE_LANES;
    unroll<G>([&](size_t g) { sums[r][g].store(scores + g * NIBBLE_LANES); });
  });
}

// Factors of the two sides of a merge and its maximum.
struct MergeFactors {
  float max, first, second;
};
template <class V>
inline MergeFactors merge_factors(float first, float second) {
  MergeFactors f;
  f.max = first > second ? first : second;
  float powers[NIBBLE_LANES] = {first - f.max, second - f.max};
  exp(V::load(powers)).store(powers);
  f.first = powers[0];
  f.second = powers[1];
  return f;
}

// Turns a row's scores into weights and merges maximum and sum into its state.
template <class V>
NIBBLE_KERNEL void softmax_row(AttendRow* row, float softcap) {
  const size_t first = row->begin / NIBBLE_LANES * NIBBLE_LANES;
  const size_t last = (row->end + NIBBLE_LANES - 1) / NIBBLE_LANES * NIBBLE_LANES;
  float* s = row->scores;
  if (softcap != 0.0f) {
    for (size_t j = first; j < last; j += NIBBLE_LANES) {
      softcapped(V::load(s + j), softcap).store(s + j);
    }
  }
  for (size_t j = first; j < row->begin; ++j) s[j] = -INFINITY;
  for (size_t j = row->end; j < last; ++j) s[j] = -INFINITY;
  V best = V::splat(-INFINITY);
  for (size_t j = first; j < last; j += NIBBLE_LANES) best = max(V::load(s + j), best);
  const float block_max = reduce_max(best);
  const V shift = V::splat(block_max);
  V sums = V::splat(0.0f);
  for (size_t j = first; j < last; j += NIBBLE_LANES) {
    const V p = exp(V::load(s + j) - shift);
    p.store(s + j);
    sums = sums + p;
  }
  const MergeFactors f = merge_factors<V>(*row->max, block_max);
  *row->max = f.max;
  *row->sum = fmaf(*row->sum, f.first, reduce_add(sums) * f.second);
  row->keep = f.first;
  row->take = f.second;
}

// Keys that all R rows see: [begin, end). Empty: begin == end == NIBBLE_KEY_BLOCK.
struct KeyRange {
  size_t begin, end;
};

// Columns [d, d + n) of out for R rows: C whole vectors, or one partial (n < 16).
template <class V, class E, size_t R, size_t C, bool kWhole>
NIBBLE_KERNEL void add_values(AttendRow* rows, const E* values, size_t head_dim, size_t d, size_t n,
                              KeyRange common) {
  const auto load = [&](const auto* p) {
    if constexpr (kWhole) {
      return V::load(p);
    } else {
      return V::load_n(p, n);
    }
  };
  const auto load_values = [&](size_t j, V* value) {
    const E* from = values + j * head_dim + d;
    unroll<C>([&](size_t c) { value[c] = load(from + c * NIBBLE_LANES); });
  };
  // Keys that only some rows see come before and after the common ones, row by row.
  V sums[R][C];
  const auto add_own = [&](size_t r, size_t begin, size_t end) {
    for (size_t j = begin; j < end; ++j) {
      V value[C];
      load_values(j, value);
      const V p = V::splat(rows[r].scores[j]);
      unroll<C>([&](size_t c) { sums[r][c] = fma(p, value[c], sums[r][c]); });
    }
  };
  for (size_t r = 0; r < R; ++r) {
    unroll<C>([&](size_t c) { sums[r][c] = V::splat(0.0f); });
    add_own(r, rows[r].begin, rows[r].end < common.begin ? rows[r].end : common.begin);
  }
  V shared[R][C];  // a copy, because `sums` is indexed by a variable and so not in registers
  unroll<R>([&](auto r) { unroll<C>([&](size_t c) { shared[r][c] = sums[r][c]; }); });
  for (size_t j = common.begin; j < common.end; ++j) {
    V value[C];
    load_values(j, value);
    unroll<R>([&](auto r) {
      const V p = V::splat(rows[r].scores[j]);
      unroll<C>([&](size_t c) { shared[r][c] = fma(p, value[c], shared[r][c]); });
    });
  }
  unroll<R>([&](auto r) { unroll<C>([&](size_t c) { sums[r][c] = shared[r][c]; }); });
  for (size_t r = 0; r < R; ++r) {
    add_own(r, common.end, rows[r].end);
    const V keep = V::splat(rows[r].keep), take = V::splat(rows[r].take);
    for (size_t c = 0; c < C; ++c) {
      float* out = rows[r].out + d + c * NIBBLE_LANES;
      const V merged = fma(load(out), keep, sums[r][c] * take);
      if constexpr (kWhole) {
        merged.store(out);
      } else {
        merged.store_n(out, n);
      }
    }
  }
}

template <class V, class E, size_t R>
inline void attend_rows(const AttendArgs* a, AttendRow* rows) {
  // As many accumulators as the registers hold.
  constexpr size_t kWide = V::kTile / R < 4 ? V::kTile / R : 4;
  const E* keys = static_cast<const E*>(a->k_block);
  const E* values = static_cast<const E*>(a->v_block);
  size_t first = NIBBLE_KEY_BLOCK, last = 0;
  KeyRange common = {0, NIBBLE_KEY_BLOCK};
  for (size_t r = 0; r < R; ++r) {
    first = rows[r].begin < first ? rows[r].begin : first;
    last = rows[r].end > last ? rows[r].end : last;
    common.begin = rows[r].begin > common.begin ? rows[r].begin : common.begin;
    common.end = rows[r].end < common.end ? rows[r].end : common.end;
  }
  if (common.begin >= common.end) common = {NIBBLE_KEY_BLOCK, NIBBLE_KEY_BLOCK};

  size_t group = first / NIBBLE_LANES;
  const size_t groups = (last + NIBBLE_LANES - 1) / NIBBLE_LANES;
  for (; group + kWide <= groups; group += kWide) {
    score_groups<V, E, R, kWide>(rows, keys, a->head_dim, group);
  }
  for (; group < groups; ++group) score_groups<V, E, R, 1>(rows, keys, a->head_dim, group);

  for (size_t r = 0; r < R; ++r) softmax_row<V>(&rows[r], a->softcap);

  size_t d = 0;
  for (; d + kWide * NIBBLE_LANES <= a->head_dim; d += kWide * NIBBLE_LANES) {
    add_values<V, E, R, kWide, true>(rows, values, a->head_dim, d, 0, common);
  }
  for (; d + NIBBLE_LANES <= a->head_dim; d += NIBBLE_LANES) {
    add_values<V, E, R, 1, true>(rows, values, a->head_dim, d, 0, common);
  }
  if (d < a->head_dim) {
    add_values<V, E, R, 1, false>(rows, values, a->head_dim, d, a->head_dim - d, common);
  }
}

template <class V, class E>
void attend(const AttendArgs* a) {
  constexpr size_t kRows = V::kTile >= 16 ? 8 : 4;
  AttendRow rows[kRows];
  size_t next = 0;
  while (next < a->rows) {
    size_t count = 0;
    for (; next < a->rows && count < kRows; ++next) {
      if (a->begin[next] >= a->end[next]) continue;
      AttendRow& row = rows[count++];
      row.q = a->q + next * a->q_stride;
      row.out = a->out + next * a->out_stride;
      row.max = a->max + next;
      row.sum = a->sum + next;
      row.begin = static_cast<size_t>(a->begin[next]);
      row.end = static_cast<size_t>(a->end[next]);
    }
    AttendRow* row = rows;
    if constexpr (kRows == 8) {
      if (count == 8) attend_rows<V, E, 8>(a, row), row += 8, count = 0;
    }
    if (count >= 4) attend_rows<V, E, 4>(a, row), row += 4, count -= 4;
    if (count >= 2) attend_rows<V, E, 2>(a, row), row += 2, count -= 2;
    if (count >= 1) attend_rows<V, E, 1>(a, row);
  }
}

template <class V>
NIBBLE_KERNEL void attend_merge(const AttendMergeArgs* a) {
  // An empty side has nothing to add; two of them would make exp(-inf + inf).
  if (*a->other_max == -INFINITY) return;
  const MergeFactors f = merge_factors<V>(*a->max, *a->other_max);
  const V first = V::splat(f.first), second = V::splat(f.second);
  *a->max = f.max;
  *a->sum = fmaf(*a->sum, f.first, *a->other_sum * f.second);
  map_elements<V>(
      a->out, a->head_dim, [&](const V& x, const V& y) { return fma(x, first, y * second); },
      a->out, a->other_out);
}

template <class V, class E>
NIBBLE_KERNEL void to_kv(const ToKvArgs* a) {
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

template <class V>
constexpr KernelEntry kAttention[] = {
    {Op::kToKv,
     Format::kF16,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.to_kv = to_kv<V, F16>},
     "to_kv_f16"},
    {Op::kToKv,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.to_kv = to_kv<V, float>},
     "to_kv_f32"},
    {Op::kAttend,
     Format::kF16,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.attend = attend<V, F16>},
     "attend_f16"},
    {Op::kAttend,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.attend = attend<V, float>},
     "attend_f32"},
    {Op::kAttendMerge,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.merge = attend_merge<V>},
     "attend_merge"},
};

}  // namespace
}  // namespace nibble
