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

// Up to this many tokens a product is taken as memory-bound and split statically.
constexpr size_t kFewTokens = 8;
// Weights of a block of rows that stay in L2 beside the activations streaming through it.
constexpr size_t kBlockBytes = 256 * 1024;

void multiply(const PackedMatrix& w, const void* x, Rows y, Range rows) {
  if (rows.empty()) return;
  const MatmulArgs args{
      w.at(rows.begin), x, y.data + rows.begin, y.stride, rows.end - rows.begin, w.k, y.m};
  w.kernel->fn.matmul(&args);
}

size_t block_rows(const PackedMatrix& w) {
  const size_t tiles = std::max<size_t>(1, kBlockBytes / w.tile_bytes);
  return std::max<size_t>(w.kernel->tile_n * tiles, 16);
}

}  // namespace

const void* Ops::quantize(Rows x) {
  auto* panels = scratch_.quantized.as<uint8_t>();
  NIBBLE_DCHECK(activation_bytes(x.m, x.cols) <= scratch_.quantized.size());
  const auto quantize_row = kernels_.fn(Op::kQuantizeRow).quantize;
  const size_t panel_bytes = activation_bytes(NIBBLE_PANEL, x.cols);
  each_row(x.m, x.m * x.cols, [&](size_t t) {
    const size_t panel = t / NIBBLE_PANEL;
    const size_t mt = std::min<size_t>(NIBBLE_PANEL, x.m - panel * NIBBLE_PANEL);
    const QuantizeArgs args{x.row(t), x.cols, panels + panel * panel_bytes, mt, t % NIBBLE_PANEL};
    quantize_row(&args);
  });
  return panels;
}

void Ops::matmul(Rows x, std::initializer_list<Product> products) {
  const void* q8 = nullptr;
  for (const Product& p : products) {
    NIBBLE_DCHECK(p.w->k == x.cols && x.stride == x.cols);
    if (p.w->kernel->activation == Activation::kQ8 && q8 == nullptr) q8 = quantize(x);
  }
  auto input = [&](const PackedMatrix& w) -> const void* {
    return w.kernel->activation == Activation::kQ8 ? q8 : x.data;
  };
  if (x.m <= kFewTokens) {
    team_.run([&](int worker) {
      for (const Product& p : products) {
        multiply(*p.w, input(*p.w), p.y,
                 split_range(p.w->n, p.w->kernel->tile_n, worker, team_.size()));
      }
    });
    return;
  }
  for (const Product& p : products) {
    team_.run_dynamic(p.w->n, block_rows(*p.w),
                      [&](Range rows, int) { multiply(*p.w, input(*p.w), p.y, rows); });
  }
}

void Ops::gated(Rows x, const PackedMatrix& gate, const PackedMatrix& up, Gate act, Rows up_rows,
                Rows y) {
  NIBBLE_DCHECK(gate.n == up.n && gate.k == up.k && x.stride == x.cols);
  const bool any_q8 =
      gate.kernel->activation == Activation::kQ8 || up.kernel->activation == Activation::kQ8;
  const void* q8 = any_q8 ? quantize(x) : nullptr;
  auto input = [&](const PackedMatrix& w) -> const void* {
    return w.kernel->activation == Activation::kQ8 ? q8 : x.data;
  };
  const auto activate = kernels_.fn(act == Gate::kGelu ? Op::kGeluMul : Op::kSiluMul).glu;
  auto rows_of = [&](Range rows) {
    multiply(gate, input(gate), y, rows);
    multiply(up, input(up), up_rows, rows);
    for (size_t t = 0; t < x.m && !rows.empty(); ++t) {
      float* out = y.row(t) + rows.begin;
      const GluArgs args{out, up_rows.row(t) + rows.begin, out, rows.end - rows.begin};
      activate(&args);
    }
  };
  const size_t unit = std::max(gate.kernel->tile_n, up.kernel->tile_n);
  if (x.m <= kFewTokens) {
    team_.run([&](int worker) { rows_of(split_range(gate.n, unit, worker, team_.size())); });
  } else {
    const size_t rows = (block_rows(gate) + unit - 1) / unit * unit;
    team_.run_dynamic(gate.n, rows, [&](Range range, int) { rows_of(range); });
  }
}

}  // namespace nibble
