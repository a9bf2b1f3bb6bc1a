// Matrix products: quantise the activations once, then share the output rows among the threads.
//
// Decode (few tokens) is bound by memory: every thread reads one contiguous part of each matrix.
// Prefill is bound by arithmetic: rows are handed out in blocks small enough to stay in L2 while
// all tokens pass over them, to whichever thread is free. Read next: arch/README.md (the kernels).
#include <algorithm>

#include "runtime/file/check.h"
#include "runtime/ops/ops.h"
#include "simd/layout.h"

namespace nibble {
namespace {

// Weights of a block of rows that stay in L2 beside the activations streaming through it.
constexpr size_t kBlockBytes = 256 * 1024;
// Blocks a thread gets of a region's rows, so that none waits long for the last.
constexpr size_t kBlocksEach = 8;
// Columns of activations quantised at once for all tokens of a panel, which share cache lines.
constexpr size_t kStripColumns = 16 * NIBBLE_BLOCK;
// Hidden rows of a feed-forward block that one thread takes from x to the quantised input of
// `down`: for 512 tokens half a megabyte of floats, which stays in L2.
constexpr size_t kHiddenRows = 4 * NIBBLE_BLOCK;

size_t ceil_div(size_t a, size_t b) {
  return (a + b - 1) / b;
}

// y = the given rows of w times x; y starts at the first of them.
void multiply(const PackedMatrix& w, const void* x, Rows y, Range rows) {
  while (!rows.empty()) {
    const size_t end = std::min(rows.end, w.slice_end(rows.begin));
    const MatmulArgs args{w.at(rows.begin), x, y.data, y.stride, end - rows.begin, w.k, y.m};
    w.kernel->fn.matmul(&args);
    y.data += end - rows.begin;
    rows.begin = end;
  }
}

// Columns [range.begin, range.end) of y.
Rows columns(Rows y, Range range) {
  return {y.data + range.begin, y.m, range.end - range.begin, y.stride};
}

// Rows of w to hand out at once in a region of `all` rows.
size_t block_rows(const PackedMatrix& w, size_t all, size_t threads) {
  constexpr size_t kLeastRows = 16;
  const size_t unit = w.kernel->tile_n;
  const size_t tiles = std::min(all / unit / (threads * kBlocksEach), kBlockBytes / w.tile_bytes);
  return ceil_div(std::max(tiles * unit, kLeastRows), unit) * unit;
}

bool takes_q8(const PackedMatrix& w) {
  return w.kernel->activation == Activation::kQ8;
}

// Quantises `strip`, which begins at `column` of rows of depth k, for the tokens of one panel.
void quantize_strip(const KernelSet& kernels, Rows strip, size_t column, size_t k, size_t panel,
                    uint8_t* panels) {
  const auto quantize = kernels.fn(Op::kQuantizeRow).quantize;
  const size_t first = panel * NIBBLE_PANEL;
  const size_t mt = std::min<size_t>(NIBBLE_PANEL, strip.m - first);
  uint8_t* to = panels + activation_bytes(first, k) + activation_bytes(mt, column);
  for (size_t t = 0; t < mt; ++t) {
    const QuantizeArgs args{strip.row(first + t), strip.cols, to, mt, t};
    quantize(&args);
  }
}

}  // namespace

const void* Ops::quantize(Rows x) {
  auto* panels = scratch_.quantized.as<uint8_t>();
  NIBBLE_DCHECK(activation_bytes(x.m, x.cols) <= scratch_.quantized.size());
  const size_t strips = ceil_div(x.cols, kStripColumns);
  each_row(ceil_div(x.m, NIBBLE_PANEL) * strips, x.m * x.cols, [&](size_t i) {
    const size_t column = i % strips * kStripColumns;
    const Range range{column, std::min(column + kStripColumns, x.cols)};
    quantize_strip(kernels_, columns(x, range), column, x.cols, i / strips, panels);
  });
  return panels;
}

void Ops::matmul(Rows x, std::initializer_list<Product> products) {
  bool any_q8 = false;
  for (const Product& p : products) {
    if (observer_ != nullptr) observer_->see(*p.w, x);
    NIBBLE_DCHECK(p.w->k == x.cols && x.stride == x.cols);
    any_q8 |= takes_q8(*p.w);
  }
  multiply_all({x.data, any_q8 ? quantize(x) : nullptr}, products);
}

void Ops::multiply_all(Input x, std::initializer_list<Product> products) {
  const auto threads = static_cast<size_t>(team_.size());
  if (products.begin()->y.m <= kFewTokens) {
    team_.run([&](int worker) {
      for (const Product& p : products) {
        const Range rows = team_.range(p.w->n, p.w->kernel->tile_n, worker);
        multiply(*p.w, x.of(*p.w), columns(p.y, rows), rows);
      }
    });
    return;
  }
  size_t all = 0;
  for (const Product& p : products) all += p.w->n;
  size_t blocks = 0;
  for (const Product& p : products) blocks += ceil_div(p.w->n, block_rows(*p.w, all, threads));
  team_.run_dynamic(blocks, 1, [&](Range block, int) {
    size_t before = 0;  // blocks of the products before
    for (const Product& p : products) {
      const size_t unit = block_rows(*p.w, all, threads);
      const size_t begin = (block.begin - before) * unit;
      if (begin < p.w->n) {
        const Range rows{begin, std::min(begin + unit, p.w->n)};
        multiply(*p.w, x.of(*p.w), columns(p.y, rows), rows);
        return;
      }
      before += ceil_div(p.w->n, unit);
    }
  });
}

void Ops::activate(Gate gate, Rows y, Rows up) {
  const auto glu = kernels_.fn(gate == Gate::kGelu ? Op::kGeluMul : Op::kSiluMul).glu;
  for (size_t t = 0; t < y.m; ++t) {
    const GluArgs args{y.row(t), up.row(t), y.row(t), y.cols};
    glu(&args);
  }
}

void Ops::feed_forward(Rows x, const FeedForward& w, Rows gate, Rows up, Rows out) {
  NIBBLE_DCHECK(w.gate->n == w.up->n && w.gate->k == w.up->k && x.stride == x.cols);
  NIBBLE_DCHECK(w.down->k == w.gate->n && gate.stride == gate.cols && up.stride == up.cols);
  if (observer_ != nullptr) {
    observer_->see(*w.gate, x);
    observer_->see(*w.up, x);
  }
  const bool any_q8 = takes_q8(*w.gate) || takes_q8(*w.up);
  const Input input{x.data, any_q8 ? quantize(x) : nullptr};
  const auto threads = static_cast<size_t>(team_.size());
  const size_t unit = std::max(w.gate->kernel->tile_n, w.up->kernel->tile_n);
  const bool apart = observer_ != nullptr || !takes_q8(*w.down) || kHiddenRows % unit != 0;
  if (x.m <= kFewTokens) {
    team_.run([&](int worker) {
      const Range rows = team_.range(w.gate->n, unit, worker);
      if (rows.empty()) return;
      multiply(*w.gate, input.of(*w.gate), columns(gate, rows), rows);
      multiply(*w.up, input.of(*w.up), columns(up, rows), rows);
      activate(w.act, columns(gate, rows), columns(up, rows));
    });
    matmul(gate, {{w.down, out}});
    return;
  }
  if (apart || threads * kHiddenRows > w.gate->n) {
    multiply_all(input, {{w.gate, gate}, {w.up, up}});
    each_row(x.m, x.m * gate.cols, [&](size_t t) {
      activate(w.act, {gate.row(t), 1, gate.cols, 0}, {up.row(t), 1, up.cols, 0});
    });
    matmul(gate, {{w.down, out}});
    return;
  }
  auto* panels = scratch_.hidden.as<uint8_t>();
  NIBBLE_DCHECK(activation_bytes(x.m, w.down->k) <= scratch_.hidden.size());
  team_.run_dynamic(w.gate->n, kHiddenRows, [&](Range rows, int worker) {
    // Of the scratch each worker uses a small part that stays in its cache.
    const size_t cols = rows.end - rows.begin;
    const size_t begin = static_cast<size_t>(worker) * kHiddenRows * x.m;
    const Rows y{gate.data + begin, x.m, cols, cols};
    const Rows up_rows{up.data + begin, x.m, cols, cols};
    multiply(*w.gate, input.of(*w.gate), y, rows);
    multiply(*w.up, input.of(*w.up), up_rows, rows);
    activate(w.act, y, up_rows);
    for (size_t panel = 0; panel < ceil_div(x.m, NIBBLE_PANEL); ++panel) {
      quantize_strip(kernels_, y, rows.begin, w.down->k, panel, panels);
    }
  });
  multiply_all({nullptr, panels}, {{w.down, out}});
}

}  // namespace nibble
