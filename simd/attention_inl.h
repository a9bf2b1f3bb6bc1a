// Attention of query rows against one block of keys, and the KV-cache writer, once for every ISA.
//
// Rows are taken up to eight at a time, so that each key and value is loaded (and widened from f16)
// once for all of them; a block's scores stay on the stack. Each row's own order of operations is
// that of AttendArgs in abi.h, whatever rows are beside it. After the online softmax of Milakov and
// Gimelshein, arXiv:1805.02867. Read next: abi.h, math_inl.h.
#pragma once

#include "simd/elementwise_inl.h"
#include "simd/kv_block_inl.h"
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
template <class V, class K, size_t R, size_t G>
NIBBLE_KERNEL void score_groups(AttendRow* rows, const void* keys, size_t head_dim, size_t group) {
  V sums[R][G];
  unroll<R>([&](auto r) { unroll<G>([&](size_t g) { sums[r][g] = V::splat(0.0f); }); });
  const size_t n = K::kHalves == 1 ? head_dim : NIBBLE_LANES;
  for (size_t d = 0; d < head_dim; d += K::kHalves * n) {
    typename K::Keys from[G];
    unroll<G>([&](size_t g) { from[g].seek(keys, head_dim, group + g, d); });
    unroll<K::kHalves>([&](auto half) {
      for (size_t i = 0; i < n; ++i) {
        V key[G];
        unroll<G>([&](size_t g) { key[g] = from[g].load(half, i); });
        unroll<R>([&](auto r) {
          const V q = V::splat(rows[r].q[d + half * n + i]);
          unroll<G>([&](size_t g) { sums[r][g] = fma(q, key[g], sums[r][g]); });
        });
      }
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
  // e^-64 is nothing beside the largest weight, 1; smaller ones would become subnormal, and sums
  // with those take many times as long (measured: a block 25 times).
  const V least = V::splat(-64.0f);
  V sums = V::splat(0.0f);
  for (size_t j = first; j < last; j += NIBBLE_LANES) {
    const V p = exp(max(least, V::load(s + j) - shift));
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
template <class V, class K, size_t R, size_t C, bool kWhole>
NIBBLE_KERNEL void add_values(AttendRow* rows, const void* values, size_t head_dim, size_t d,
                              size_t n, KeyRange common) {
  const auto load_values = [&](size_t j, V* value) {
    unroll<C>([&](size_t c) {
      if constexpr (kWhole) {
        value[c] = K::value(values, head_dim, j, d + c * NIBBLE_LANES);
      } else {
        value[c] = K::value_n(values, head_dim, j, d, n);
      }
    });
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
      const V add = sums[r][c] * take;
      if constexpr (kWhole) {
        fma(V::load(out), keep, add).store(out);
      } else {
        fma(V::load_n(out, n), keep, add).store_n(out, n);
      }
    }
  }
}

template <class V, class K, size_t R>
inline void attend_rows(const AttendArgs* a, AttendRow* rows) {
  // As many accumulators as the registers hold.
  constexpr size_t kWide = V::kTile / R < 4 ? V::kTile / R : 4;
  const void* keys = a->k_block;
  const void* values = a->v_block;
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
    score_groups<V, K, R, kWide>(rows, keys, a->head_dim, group);
  }
  for (; group < groups; ++group) score_groups<V, K, R, 1>(rows, keys, a->head_dim, group);

  for (size_t r = 0; r < R; ++r) softmax_row<V>(&rows[r], a->softcap);

  size_t d = 0;
  for (; d + kWide * NIBBLE_LANES <= a->head_dim; d += kWide * NIBBLE_LANES) {
    add_values<V, K, R, kWide, true>(rows, values, a->head_dim, d, 0, common);
  }
  for (; d + NIBBLE_LANES <= a->head_dim; d += NIBBLE_LANES) {
    add_values<V, K, R, 1, true>(rows, values, a->head_dim, d, 0, common);
  }
  if (d < a->head_dim) {
    add_values<V, K, R, 1, false>(rows, values, a->head_dim, d, a->head_dim - d, common);
  }
}

template <class V, class K>
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
      if (count == 8) attend_rows<V, K, 8>(a, row), row += 8, count = 0;
    }
    if (count >= 4) attend_rows<V, K, 4>(a, row), row += 4, count -= 4;
    if (count >= 2) attend_rows<V, K, 2>(a, row), row += 2, count -= 2;
    if (count >= 1) attend_rows<V, K, 1>(a, row);
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

template <class V, class K>
NIBBLE_KERNEL void to_kv(const ToKvArgs* a) {
  K::put(a);
}

template <class V, class K>
constexpr KernelEntry to_kv_entry(Format format, const char* name) {
  return {Op::kToKv, format, Activation::kNone, Layout::kRowMajor, 1, {.to_kv = to_kv<V, K>}, name};
}
template <class V, class K>
constexpr KernelEntry attend_entry(Format format, const char* name) {
  return {Op::kAttend, format, Activation::kNone, Layout::kRowMajor, 1, {.attend = attend<V, K>},
          name};
}

template <class V>
constexpr KernelEntry kAttention[] = {
    to_kv_entry<V, PlainKv<V, F16>>(Format::kF16, "to_kv_f16"),
    to_kv_entry<V, PlainKv<V, float>>(Format::kF32, "to_kv_f32"),
    to_kv_entry<V, Q8Kv<V>>(Format::kQ8_0, "to_kv_q8_0"),
    to_kv_entry<V, Q4Kv<V>>(Format::kQ4_0, "to_kv_q4_0"),
    attend_entry<V, PlainKv<V, F16>>(Format::kF16, "attend_f16"),
    attend_entry<V, PlainKv<V, float>>(Format::kF32, "attend_f32"),
    attend_entry<V, Q8Kv<V>>(Format::kQ8_0, "attend_q8_0"),
    attend_entry<V, Q4Kv<V>>(Format::kQ4_0, "attend_q4_0"),
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
