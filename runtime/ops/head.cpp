#include "runtime/ops/head.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>

#include "runtime/ops/ops.h"
#include "simd/layout.h"

namespace nibble {
namespace {

// One thread's share of the `top` largest lower bounds: their least, once there are that many, can
// only rise.
class TopBounds {
 public:
  explicit TopBounds(size_t top) : top_(top) { heap_.reserve(top); }
  float least() const { return heap_.size() < top_ ? -INFINITY : heap_.front(); }
  void add(float bound) {
    if (!(bound > least())) return;
    if (heap_.size() == top_) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.pop_back();
    }
    heap_.push_back(bound);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }
  const std::vector<float>& values() const { return heap_; }

 private:
  size_t top_;
  std::vector<float> heap_;
};

}  // namespace

uint64_t OutputHead::screen_bytes(const KernelSet& kernels, uint64_t least_bytes) const {
  if (exact.kernel->activation != Activation::kF32 || exact.bytes() < least_bytes ||
      exact.k % NIBBLE_BLOCK != 0) {
    return 0;
  }
  const Layout layout = kernels.entry(Op::kMatmul, Format::kQ4_0).layout;
  constexpr uint64_t kAlign = 64;  // of what an arena holds
  const uint64_t rows = packed_bytes(Format::kQ4_0, layout, exact.n, exact.k);
  return (rows + kAlign - 1) / kAlign * kAlign + exact.n * sizeof(float);
}

Result<void> OutputHead::build_screen(const KernelSet& kernels, ThreadTeam& team,
                                      const GgufFile& file, uint64_t least_bytes,
                                      const std::function<void()>& between) {
  if (screen_bytes(kernels, least_bytes) == 0) return {};
  const size_t n = exact.n;
  const size_t k = exact.k;
  const KernelEntry& kernel = kernels.entry(Op::kMatmul, Format::kQ4_0);
  PackedMatrix screen;
  screen.kernel = &kernel;
  screen.format = Format::kQ4_0;
  screen.n = n;
  screen.k = k;
  screen.tile_bytes = packed_bytes(Format::kQ4_0, kernel.layout, kernel.tile_n, k);
  const RowPlaces places(&screen, team, &memory_);
  const TeamPlan& plan = team.plan();
  std::vector<int> nodes;
  if (plan.bind_memory) nodes.assign(plan.nodes.begin(), plan.nodes.begin() + team.nodes());
  NIBBLE_TRY_VOID(memory_.allocate("the screen of the output head", nodes));
  places.settle(memory_);
  errors_.resize(n);
  std::atomic<size_t> bad{SIZE_MAX};
  const auto dequantize = kernels.fn(Op::kDequantizeRow, exact.format).dequantize;
  const auto quantize = kernels.fn(Op::kToQ4_0).to_q4_0;
  const size_t q4_bytes = row_bytes(Format::kQ4_0, k);
  in_slices(team, n, kernel.tile_n, exact.tile_bytes, between, [&](Range mine) {
    std::vector<float> row(k);
    std::vector<uint8_t> rows(kernel.tile_n * q4_bytes);
    for (size_t first = mine.begin; first < mine.end; first += kernel.tile_n) {
      const size_t count = std::min<size_t>(kernel.tile_n, mine.end - first);
      for (size_t i = 0; i < count; ++i) {
        const DequantizeArgs read{exact.at(first + i), row.data(), k};
        dequantize(&read);
        float squares = 0;
        const ToQ4_0Args args{row.data(), k, rows.data() + i * q4_bytes, &squares};
        quantize(&args);
        errors_[first + i] = std::sqrt(squares / static_cast<float>(k));
        if (!std::isfinite(squares)) {
          size_t seen = bad.load();
          while (first + i < seen && !bad.compare_exchange_weak(seen, first + i)) {
          }
        }
      }
      pack_rows(Format::kQ4_0, kernel.layout, rows.data(), count, k,
                const_cast<uint8_t*>(screen.at(first)));  // this head's own memory
    }
    file.release_pages(exact.at(mine.begin), (mine.end - mine.begin) * exact.tile_bytes);
  });
  if (bad.load() != SIZE_MAX) {
    return Error{ErrorCode::kData, file.path() + ": output head: row " +
                                       std::to_string(bad.load()) +
                                       " is not finite; the file is damaged, download it again"};
  }
  screen_ = screen;
  return {};
}

uint64_t OutputHead::decode_bytes() const {
  return has_screen() ? screen_.bytes() + errors_.size() * sizeof(float) : exact.bytes();
}

void Ops::screened_head(const OutputHead& head, Rows x, size_t top, Rows out) {
  matmul(x, {{&head.screen(), out}});
  exact_head_rows_ = 0;
  for (size_t t = 0; t < x.m; ++t) {
    exact_head_rows_ += refine_head(head, x.row(t), top, {out.row(t), out.cols});
  }
}

void Ops::exact_head(const OutputHead& head, const float* x, std::span<const int32_t> ids,
                     std::span<float> out) {
  const PackedMatrix& exact = head.exact;
  team_.run([&](int worker) {
    const Range mine = team_.range(ids.size(), 1, worker);
    for (size_t i = mine.begin; i < mine.end; ++i) {
      const MatmulArgs args{exact.at(static_cast<size_t>(ids[i])), x, &out[i], 1, 1, exact.k, 1};
      exact.kernel->fn.matmul(&args);
    }
  });
}

size_t Ops::refine_head(const OutputHead& head, const float* x, size_t top,
                        std::span<float> logits) {
  const PackedMatrix& exact = head.exact;
  double squares = 0;
  for (size_t i = 0; i < exact.k; ++i) squares += static_cast<double>(x[i]) * x[i];
  const auto unit = static_cast<float>(OutputHead::kSigmas * std::sqrt(squares));
  const float* errors = head.row_errors();

  // The top-th largest lower bound: no row whose upper bound is below it can be among the best.
  std::vector<TopBounds> parts(static_cast<size_t>(team_.size()), TopBounds(top));
  team_.run([&](int worker) {
    const Range rows = team_.range(logits.size(), 1, worker);
    TopBounds& mine = parts[static_cast<size_t>(worker)];
    for (size_t i = rows.begin; i < rows.end; ++i) mine.add(logits[i] - unit * errors[i]);
  });
  TopBounds all(top);
  for (const TopBounds& part : parts) {
    for (const float bound : part.values()) all.add(bound);
  }
  const float least = all.least();
  std::atomic<size_t> computed{0};
  team_.run([&](int worker) {
    const Range rows = team_.range(logits.size(), 1, worker);
    size_t count = 0;
    for (size_t i = rows.begin; i < rows.end; ++i) {
      if (logits[i] + unit * errors[i] < least) continue;
      ++count;
      const MatmulArgs args{exact.at(i), x, &logits[i], logits.size(), 1, exact.k, 1};
      exact.kernel->fn.matmul(&args);
    }
    computed += count;
  });
  return computed;
}

}  // namespace nibble
