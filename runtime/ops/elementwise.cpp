// Embedding, norms and the other operations that treat each row by itself.
#include <atomic>
#include <cmath>
#include <cstring>

#include "runtime/file/check.h"
#include "runtime/ops/ops.h"

namespace nibble {

void fill_rope(const RopeParameters& parameters, std::span<const Segment> segments,
               RopeTable* table) {
  const size_t half = parameters.n_rot / 2;
  size_t m = 0;
  for (const Segment& segment : segments) m += segment.m;
  table->n_rot = parameters.n_rot;
  table->cos.resize(m * half);
  table->sin.resize(m * half);
  for (size_t i = 0; i < half; ++i) {
    // Double: at position 100,000 a float's rounding would be a hundredth of a radian.
    double frequency = std::pow(parameters.base, -2.0 * static_cast<double>(i) /
                                                     static_cast<double>(parameters.n_rot)) *
                       parameters.scale;
    if (!parameters.divisors.empty()) frequency /= parameters.divisors[i];
    size_t at = i;
    for (const Segment& segment : segments) {
      for (size_t t = 0; t < segment.m; ++t, at += half) {
        const double angle =
            static_cast<double>(segment.position + static_cast<int64_t>(t)) * frequency;
        table->cos[at] = static_cast<float>(std::cos(angle) * parameters.magnitude);
        table->sin[at] = static_cast<float>(std::sin(angle) * parameters.magnitude);
      }
    }
  }
}

void Ops::embed(const RowTable& table, std::span<const int32_t> ids, float scale, Rows x) {
  const auto dequantize = table.dequantize->fn.dequantize;
  const auto multiply = kernels_.fn(Op::kScale).unary;
  each_row(ids.size(), ids.size() * table.k, [&](size_t t) {
    NIBBLE_DCHECK(ids[t] >= 0 && static_cast<size_t>(ids[t]) < table.n);
    const DequantizeArgs row{table.data + static_cast<size_t>(ids[t]) * table.row_bytes, x.row(t),
                             table.k};
    dequantize(&row);
    if (scale != 1) {
      const UnaryArgs args{x.row(t), nullptr, table.k, scale};
      multiply(&args);
    }
  });
}

void Ops::rms_norm(Rows x, const std::vector<float>& weight, float eps, Rows y, bool add) {
  const auto norm = kernels_.fn(Op::kRmsNorm).norm;
  each_row(x.m, x.m * x.cols, [&](size_t t) {
    const NormArgs args{x.row(t), weight.data(), y.row(t), x.cols, eps, add ? 1 : 0};
    norm(&args);
  });
}

void Ops::add(Rows x, Rows y) {
  const auto sum = kernels_.fn(Op::kAdd).unary;
  each_row(x.m, x.m * x.cols, [&](size_t t) {
    const UnaryArgs args{y.row(t), x.row(t), x.cols, 0};
    sum(&args);
  });
}

void Ops::add_bias(const std::vector<float>& bias, Rows y) {
  if (bias.empty()) return;
  const auto sum = kernels_.fn(Op::kAdd).unary;
  each_row(y.m, y.m * y.cols, [&](size_t t) {
    const UnaryArgs args{y.row(t), bias.data(), y.cols, 0};
    sum(&args);
  });
}

// Branch-free, so that the compiler vectorises it: a vocabulary has a quarter of a million entries.
bool all_finite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000u;
  uint32_t bad = 0;
  for (const float value : values) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    bad |= static_cast<uint32_t>((bits & kExponent) == kExponent);
  }
  return bad == 0;
}

bool Ops::all_finite(Rows x) {
  std::atomic<bool> finite = true;
  each_row(x.m, x.m * x.cols, [&](size_t t) {
    if (!nibble::all_finite({x.row(t), x.cols})) finite = false;
  });
  return finite;
}

void Ops::softcap(Rows x, float cap) {
  if (cap == 0) return;
  const auto squash = kernels_.fn(Op::kSoftcap).unary;
  team_.run([&](int worker) {
    const Range cols = team_.range(x.cols, NIBBLE_LANES, worker);
    for (size_t t = 0; t < x.m; ++t) {
      const UnaryArgs args{x.row(t) + cols.begin, nullptr, cols.end - cols.begin, cap};
      if (!cols.empty()) squash(&args);
    }
  });
}

}  // namespace nibble
