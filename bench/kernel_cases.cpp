#include "bench/kernel_cases.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>

#include "simd/format.h"
#include "simd/layout.h"

namespace nibble {
namespace {

constexpr size_t kCheckedRows = 64;
constexpr size_t kRow = 6912;     // the feed-forward width of Gemma 3 1B
constexpr size_t kHeadDim = 256;  // rope

// Bytes of n rows in their file format: random, with scales and floats of ordinary size.
std::vector<uint8_t> random_rows(Format format, size_t n, size_t k) {
  std::mt19937 random(1);
  const FormatInfo& info = format_info(format);
  std::vector<uint8_t> rows(n * row_bytes(format, k));
  for (uint8_t& byte : rows) byte = static_cast<uint8_t>(random());
  for (size_t b = 0; b < rows.size(); b += info.block_bytes) {
    uint8_t* block = rows.data() + b;
    const float value = std::uniform_real_distribution<float>(-1, 1)(random);
    uint16_t half = static_cast<uint16_t>(0x2000 | (random() & 0x83ff));  // about 0.01
    if (format == Format::kBF16) half = static_cast<uint16_t>(0x3c00 | (random() & 0x80ff));
    if (format == Format::kF32) {
      std::memcpy(block, &value, sizeof(value));
    } else {
      std::memcpy(block, &half, sizeof(half));
    }
  }
  return rows;
}

std::vector<float> random_floats(size_t count) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> value(-1, 1);
  std::vector<float> floats(count);
  for (float& f : floats) f = value(random);
  return floats;
}

// m tokens in the form that the kernel takes.
std::vector<uint8_t> activations(Activation form, size_t m, size_t k) {
  const std::vector<float> x = random_floats(m * k);
  if (form == Activation::kF32) {
    std::vector<uint8_t> bytes(x.size() * sizeof(float));
    std::memcpy(bytes.data(), x.data(), bytes.size());
    return bytes;
  }
  std::vector<uint8_t> panels(activation_bytes(m, k));
  const auto quantize = select_kernel(Op::kQuantizeRow, Format::kF32, 0)->entry->fn.quantize;
  for (size_t t = 0; t < m; ++t) {
    const size_t first = t / NIBBLE_PANEL * NIBBLE_PANEL;
    const QuantizeArgs args = {x.data() + t * k, k, panels.data() + activation_bytes(first, k),
                               std::min<size_t>(m - first, NIBBLE_PANEL), t - first};
    quantize(&args);
  }
  return panels;
}

}  // namespace

std::string to_string(const Shape& shape) {
  char text[80];
  std::snprintf(text, sizeof(text), "m%zu/n%zu/k%zu", shape.m, shape.n, shape.k);
  return text;
}

Result<void> MatmulCase::prepare(const Kernel& kernel, Shape shape, size_t cold_bytes) {
  if (&kernel == kernel_ && shape == shape_ && cold_bytes == cold_bytes_) return {};
  kernel_ = nullptr;
  const KernelEntry& entry = *kernel.entry;
  const bool packed = entry.layout != Layout::kRowMajor;
  rows_ = random_rows(entry.format, shape.n, shape.k);
  weight_bytes_ =
      packed ? packed_bytes(entry.format, entry.layout, shape.n, shape.k) : rows_.size();
  copies_ = 1 + cold_bytes / weight_bytes_;
  weights_ = Buffer();
  NIBBLE_TRY(weights_, Buffer::allocate(copies_ * weight_bytes_, "the weights"));
  uint8_t* first = weights_.as<uint8_t>();
  if (packed) {
    pack_rows(entry.format, entry.layout, rows_.data(), shape.n, shape.k, first);
  } else {
    std::memcpy(first, rows_.data(), rows_.size());
  }
  for (size_t i = 1; i < copies_; ++i) {
    std::memcpy(first + i * weight_bytes_, first, weight_bytes_);
  }
  rows_.resize(std::min(shape.n, kCheckedRows) * row_bytes(entry.format, shape.k));
  x_ = activations(entry.activation, shape.m, shape.k);
  y_.assign(shape.m * shape.n, 0);
  shape_ = shape;
  cold_bytes_ = cold_bytes;
  kernel_ = &kernel;
  return {};
}

MatmulArgs MatmulCase::args(const void* w, float* y, size_t n) const {
  return {w, x_.data(), y, shape_.n, n, shape_.k, shape_.m};
}

void MatmulCase::multiply(size_t copy, size_t begin, size_t end) {
  const size_t tiles = (shape_.n + kernel_->entry->tile_n - 1) / kernel_->entry->tile_n;
  const size_t offset = begin / kernel_->entry->tile_n * (weight_bytes_ / tiles);
  const MatmulArgs call =
      args(weights_.as<uint8_t>() + copy * weight_bytes_ + offset, y_.data() + begin, end - begin);
  kernel_->entry->fn.matmul(&call);
}

bool MatmulCase::equals_scalar() {
  const size_t n = std::min(shape_.n, kCheckedRows);
  std::vector<float> expected(shape_.m * shape_.n);
  const MatmulArgs call = args(rows_.data(), expected.data(), n);
  select_kernel(Op::kMatmul, kernel_->entry->format, 0)->entry->fn.matmul(&call);
  multiply(copies_ - 1, 0, n);
  for (size_t t = 0; t < shape_.m; ++t) {
    const size_t row = t * shape_.n;
    if (std::memcmp(&expected[row], &y_[row], n * sizeof(float)) != 0) return false;
  }
  return true;
}

RowCase::RowCase(const Kernel& kernel) : kernel_(&kernel), n_(kRow) {
  size_t floats = 0;  // read and written per element
  switch (kernel.entry->op) {
    case Op::kRmsNorm:
    case Op::kGeluMul:
    case Op::kSiluMul:
    case Op::kAdd:
      floats = 3;
      break;
    case Op::kScale:
    case Op::kSoftcap:
      floats = 2;
      break;
    case Op::kRopeNeox:
    case Op::kRopeNorm:
      n_ = kHeadDim;
      floats = 3;
      break;
    case Op::kQuantizeRow:
      bytes_ = n_ * sizeof(float) + activation_bytes(1, n_);
      break;
    case Op::kToQ4_0:
      bytes_ = n_ * sizeof(float) + row_bytes(Format::kQ4_0, n_);
      break;
    case Op::kDequantizeRow:
      bytes_ = n_ * sizeof(float) + row_bytes(kernel.entry->format, n_);
      break;
    default:
      return;
  }
  if (floats != 0) bytes_ = floats * n_ * sizeof(float);
  x_ = random_floats(n_);
  weight_ = random_floats(n_);
  y_ = random_floats(n_);
  block_row_ = random_rows(kernel.entry->format, 1, n_);
  panel_.resize(activation_bytes(1, n_));
}

std::string RowCase::name() const {
  return std::string(kernel_->entry->name) + "/" + std::string(kernel_->level->name) + "/n" +
         std::to_string(n_);
}

void RowCase::run() {
  const KernelFn& fn = kernel_->entry->fn;
  const NormArgs norm = {x_.data(), weight_.data(), y_.data(), n_, 1e-6f, 0};
  const GluArgs glu = {x_.data(), weight_.data(), y_.data(), n_};
  const RopeArgs rope = {y_.data(), x_.data(), weight_.data(), n_};
  const UnaryArgs unary = {y_.data(), x_.data(), n_, kernel_->entry->op == Op::kScale ? 1.f : 30.f};
  const QuantizeArgs quantize = {x_.data(), n_, panel_.data(), 1, 0};
  float squares;
  const ToQ4_0Args to_q4_0 = {x_.data(), n_, panel_.data(), &squares};
  const DequantizeArgs dequantize = {block_row_.data(), y_.data(), n_};
  switch (kernel_->entry->op) {
    case Op::kRmsNorm:
      return fn.norm(&norm);
    case Op::kGeluMul:
    case Op::kSiluMul:
      return fn.glu(&glu);
    case Op::kRopeNeox:
    case Op::kRopeNorm:
      return fn.rope(&rope);
    case Op::kQuantizeRow:
      return fn.quantize(&quantize);
    case Op::kToQ4_0:
      return fn.to_q4_0(&to_q4_0);
    case Op::kDequantizeRow:
      return fn.dequantize(&dequantize);
    default:
      return fn.unary(&unary);
  }
}

}  // namespace nibble
