// Matmul: gemv for one token, gemm for more. The weights' rows are divided among the threads.
#include <algorithm>
#include <cstring>

#include "bench/kernel_case.h"
#include "runtime/machine/memory.h"
#include "simd/format.h"
#include "simd/layout.h"

namespace nibble {
namespace {

constexpr size_t kCheckedRows = 64;
constexpr size_t kMostColdTokens = 8;    // with more, memory is not the limit
constexpr size_t kMostScalarTokens = 4;  // with more, minutes, and nobody waits for it

class MatmulCase : public KernelCase {
 public:
  MatmulCase(const KernelEntry* entry, Shape shape, size_t cold_bytes)
      : entry_(entry), shape_(shape), cold_bytes_(cold_bytes) {}

  Result<void> prepare(ThreadTeam* team) override {
    team_ = team;
    rows_ = random_rows(entry_->format, shape_.n, shape_.k);
    const bool packed = entry_->layout != Layout::kRowMajor;
    weight_bytes_ =
        packed ? packed_bytes(entry_->format, entry_->layout, shape_.n, shape_.k) : rows_.size();
    copies_ = 1 + cold_bytes_ / weight_bytes_;
    NIBBLE_TRY(weights_, Buffer::allocate(copies_ * weight_bytes_, "the weights"));
    // Each worker writes the rows that it will read: that decides the NUMA node of their pages.
    team_->run([&](int worker) { fill(range(worker), packed); });
    rows_.resize(std::min(shape_.n, kCheckedRows) * row_bytes(entry_->format, shape_.k));
    x_ = random_activations(entry_->activation, shape_.m, shape_.k);
    y_.assign(shape_.m * shape_.n, 0);
    return {};
  }

  bool equals_scalar() override {
    const size_t n = std::min(shape_.n, kCheckedRows);
    std::vector<float> expected(shape_.m * shape_.n);
    const MatmulArgs call = args(rows_.data(), expected.data(), n);
    select_kernel(Op::kMatmul, entry_->format, 0)->entry->fn.matmul(&call);
    multiply(copies_ - 1, {0, n});
    for (size_t t = 0; t < shape_.m; ++t) {
      const size_t row = t * shape_.n;
      if (std::memcmp(&expected[row], &y_[row], n * sizeof(float)) != 0) return false;
    }
    return true;
  }

  void run(int worker, size_t first, size_t calls) override {
    const Range rows = range(worker);
    if (rows.empty()) return;
    for (size_t i = first; i < first + calls; ++i) multiply(i % copies_, rows);
  }

  Work work() const override {
    const auto weights = static_cast<double>(shape_.n) * static_cast<double>(shape_.k);
    return {.macs = weights * static_cast<double>(shape_.m),
            .bytes = static_cast<double>(weight_bytes_),
            .elements = weights,
            .weights = true,
            .int8 = entry_->activation == Activation::kQ8};
  }

 private:
  Range range(int worker) const {
    return split_range(shape_.n, entry_->tile_n, worker, team_->size());
  }

  // Where row `row`, the first of a tile, starts in a copy.
  size_t offset(size_t row) const {
    const size_t tiles = (shape_.n + entry_->tile_n - 1) / entry_->tile_n;
    return row / entry_->tile_n * (weight_bytes_ / tiles);
  }

  void fill(Range rows, bool packed) {
    if (rows.empty()) return;
    const size_t begin = offset(rows.begin);
    const size_t end = rows.end == shape_.n ? weight_bytes_ : offset(rows.end);
    uint8_t* first = weights_.as<uint8_t>() + begin;
    const uint8_t* source = rows_.data() + rows.begin * row_bytes(entry_->format, shape_.k);
    if (packed) {
      pack_rows(entry_->format, entry_->layout, source, rows.end - rows.begin, shape_.k, first);
    } else {
      std::memcpy(first, source, end - begin);
    }
    for (size_t i = 1; i < copies_; ++i) {
      std::memcpy(first + i * weight_bytes_, first, end - begin);
    }
  }

  MatmulArgs args(const void* w, float* y, size_t n) const {
    return {w, x_.data(), y, shape_.n, n, shape_.k, shape_.m};
  }

  void multiply(size_t copy, Range rows) {
    const uint8_t* w = weights_.as<uint8_t>() + copy * weight_bytes_ + offset(rows.begin);
    const MatmulArgs call = args(w, y_.data() + rows.begin, rows.end - rows.begin);
    entry_->fn.matmul(&call);
  }

  const KernelEntry* entry_;
  Shape shape_;
  size_t cold_bytes_;
  ThreadTeam* team_ = nullptr;
  size_t copies_ = 0;
  size_t weight_bytes_ = 0;
  std::vector<uint8_t> rows_;  // as in a file; after prepare() the first kCheckedRows
  Buffer weights_;             // copy after copy, more than the caches hold if cold
  std::vector<uint8_t> x_;
  std::vector<float> y_;
};

std::string name_of(const Kernel& kernel, const Shape& shape) {
  std::string name = (shape.m == 1 ? "gemv/" : "gemm/") + format_and_level(kernel);
  if (shape.m > 1) name += "/m" + std::to_string(shape.m);
  return name + "/n" + std::to_string(shape.n) + "/k" + std::to_string(shape.k);
}

}  // namespace

std::vector<CaseSpec> matmul_cases(const Kernel& kernel, const std::vector<MatmulShape>& shapes) {
  std::vector<CaseSpec> cases;
  for (const MatmulShape& wanted : shapes) {
    const Shape& shape = wanted.shape;
    if (wanted.format && *wanted.format != kernel.entry->format) continue;
    if (shape.k % format_info(kernel.entry->format).block != 0) continue;
    if (kernel.level->name == "scalar" && shape.m > kMostScalarTokens && !wanted.wanted) continue;
    const auto make = [entry = kernel.entry, shape](size_t cold_bytes, int) {
      return std::make_unique<MatmulCase>(entry, shape, cold_bytes);
    };
    const std::string name = name_of(kernel, shape);
    cases.push_back({name, false, make});
    if (shape.m <= kMostColdTokens) cases.push_back({name + "/cold", true, make});
  }
  return cases;
}

}  // namespace nibble
