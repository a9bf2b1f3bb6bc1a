// Element-wise kernels on one row, quantisers, and the level's int8 peak.
#include <cmath>

#include "bench/thread_case.h"
#include "simd/format.h"
#include "simd/layout.h"

namespace nibble {
namespace {

constexpr size_t kRow = 6912;         // the feed-forward width of Gemma 3 1B
constexpr size_t kRotated = 256;      // its head_dim
constexpr size_t kCallsAtOnce = 16;   // of a fraction of a microsecond each
constexpr size_t kPeakRounds = 1000;  // some microseconds

// Values that stay ordinary however often the kernel is called on them: angles for rope, factor 1
// for scale.
class RowOperands : public ThreadOperands {
 public:
  RowOperands(const KernelEntry* entry, size_t n)
      : entry_(entry),
        n_(n),
        x_(random_floats(n)),
        weight_(random_floats(n)),
        y_(random_floats(n)),
        cos_(n / 2),
        sin_(n / 2),
        block_row_(random_rows(entry->format, 1, n)),
        panel_(activation_bytes(1, n)) {
    for (size_t i = 0; i < n / 2; ++i) {
      cos_[i] = std::cos(static_cast<float>(i));
      sin_[i] = std::sin(static_cast<float>(i));
    }
  }

  void run(const KernelFn& fn, size_t, size_t calls) override {
    const Op op = entry_->op;
    const NormArgs norm = {x_.data(), weight_.data(), y_.data(), n_, 1e-6f, 0};
    const GluArgs glu = {x_.data(), weight_.data(), y_.data(), n_};
    const RopeArgs rope = {y_.data(), cos_.data(), sin_.data(), n_};
    const UnaryArgs unary = {y_.data(), x_.data(), n_, op == Op::kScale ? 1.f : 30.f};
    const QuantizeArgs quantize = {x_.data(), n_, panel_.data(), 1, 0};
    const ToQ4_0Args to_q4_0 = {x_.data(), n_, panel_.data(), &error_squares_};
    const DequantizeArgs dequantize = {block_row_.data(), y_.data(), n_};
    for (size_t i = 0; i < calls; ++i) {
      switch (op) {
        case Op::kRmsNorm:
          fn.norm(&norm);
          break;
        case Op::kGeluMul:
        case Op::kSiluMul:
          fn.glu(&glu);
          break;
        case Op::kRopeNeox:
        case Op::kRopeNorm:
          fn.rope(&rope);
          break;
        case Op::kQuantizeRow:
          fn.quantize(&quantize);
          break;
        case Op::kToQ4_0:
          fn.to_q4_0(&to_q4_0);
          break;
        case Op::kDequantizeRow:
          fn.dequantize(&dequantize);
          break;
        default:
          fn.unary(&unary);
      }
    }
  }

  std::vector<uint8_t> results() const override {
    std::vector<uint8_t> bytes = panel_;
    append_bytes(y_, &bytes);
    append_bytes(std::vector<float>{error_squares_}, &bytes);
    return bytes;
  }

  Work work() const override {
    const size_t row = n_ * sizeof(float);
    size_t bytes = 3 * row;  // two rows in, one out
    switch (entry_->op) {
      case Op::kScale:
      case Op::kSoftcap:
        bytes = 2 * row;
        break;
      case Op::kQuantizeRow:
        bytes = row + activation_bytes(1, n_);
        break;
      case Op::kToQ4_0:
        bytes = row + row_bytes(Format::kQ4_0, n_);
        break;
      case Op::kDequantizeRow:
        bytes = row + row_bytes(entry_->format, n_);
        break;
      default:
        break;
    }
    return {.bytes = static_cast<double>(bytes), .elements = static_cast<double>(n_)};
  }

 private:
  const KernelEntry* entry_;
  size_t n_;
  std::vector<float> x_, weight_, y_, cos_, sin_;
  std::vector<uint8_t> block_row_, panel_;
  float error_squares_ = 0;
};

class PeakOperands : public ThreadOperands {
 public:
  void run(const KernelFn& fn, size_t, size_t calls) override {
    for (size_t i = 0; i < calls; ++i) fn.peak(&args_);
  }
  std::vector<uint8_t> results() const override { return {}; }
  Work work() const override {
    return {.macs = static_cast<double>(args_.macs), .int8 = true};  // known after a call
  }

 private:
  PeakArgs args_ = {.rounds = kPeakRounds, .macs = 0, .sink = 0};
};

}  // namespace

std::vector<CaseSpec> row_cases(const Kernel& kernel) {
  const KernelEntry* entry = kernel.entry;
  const std::string stem =
      std::string(op_name(entry->op)).append("/").append(format_and_level(kernel));
  if (entry->op == Op::kPeak) {
    const MakeOperands make = [] { return std::unique_ptr<ThreadOperands>(new PeakOperands); };
    return {{stem, false, [=](size_t, int) {
               return std::make_unique<ThreadCase>(entry, make, 1, /*compare=*/false);
             }}};
  }
  const size_t n = entry->op == Op::kRopeNeox || entry->op == Op::kRopeNorm ? kRotated : kRow;
  const MakeOperands make = [=] {
    return std::unique_ptr<ThreadOperands>(new RowOperands(entry, n));
  };
  return {{stem + "/n" + std::to_string(n), false,
           [=](size_t, int) { return std::make_unique<ThreadCase>(entry, make, kCallsAtOnce); }}};
}

}  // namespace nibble
