#include "tools/nibble/synth_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/file/check.h"
#include "simd/half_inl.h"

namespace nibble::cli {
namespace {

// splitmix64 (Steele, Lea, Flood 2014).
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Numbers of twelve random bits, five from each step of splitmix64.
class TwelveBits {
 public:
  explicit TwelveBits(uint64_t seed) : state_(seed) {}
  uint32_t next() {
    if (left_ == 0) {
      bits_ = mix(state_ += 0x9e3779b97f4a7c15);
      left_ = 5;
    }
    --left_;
    const auto value = static_cast<uint32_t>(bits_ & 0xfff);
    bits_ >>= 12;
    return value;
  }

 private:
  uint64_t state_;
  uint64_t bits_ = 0;
  int left_ = 0;
};

void put_half(float value, uint8_t* out) {
  const uint16_t half = f16_from_f32(value);
  std::memcpy(out, &half, sizeof(half));
}

// Reference rule of Q4_0: the weight of largest magnitude becomes -8, the rest are rounded to
// multiples of an eighth of it.
void quantize_q4_0(const float* x, uint8_t* out) {
  float largest = 0, magnitude = 0;
  for (int i = 0; i < NIBBLE_BLOCK; ++i) {
    const float a = std::fabs(x[i]);
    largest = a > magnitude ? x[i] : largest;
    magnitude = a > magnitude ? a : magnitude;
  }
  const float d = largest / -8;
  const float inverse = d != 0 ? 1 / d : 0;
  put_half(d, out);
  for (int i = 0; i < NIBBLE_BLOCK / 2; ++i) {
    const int low = static_cast<int>(x[i] * inverse + 8.5f);
    const int high = static_cast<int>(x[i + NIBBLE_BLOCK / 2] * inverse + 8.5f);
    out[2 + i] = static_cast<uint8_t>(std::min(low, 15) | std::min(high, 15) << 4);
  }
}

// Reference rule of Q8_0: the weight of largest magnitude becomes +-127.
void quantize_q8_0(const float* x, uint8_t* out) {
  float magnitude = 0;
  for (int i = 0; i < NIBBLE_BLOCK; ++i) magnitude = std::max(magnitude, std::fabs(x[i]));
  const float d = magnitude / 127;
  const float inverse = d != 0 ? 1 / d : 0;
  put_half(d, out);
  for (int i = 0; i < NIBBLE_BLOCK; ++i) {
    out[2 + i] = static_cast<uint8_t>(static_cast<int>(std::round(x[i] * inverse)));
  }
}

}  // namespace

GaussianTable::GaussianTable() {
  for (size_t i = 0; i < kSize / 2; ++i) {
    const double probability = (static_cast<double>(i) + 0.5) / kSize;
    double low = -5, high = 0;  // where the distribution function has this value, by bisection
    for (int step = 0; step < 40; ++step) {
      const double middle = (low + high) / 2;
      (std::erfc(-middle / std::sqrt(2.0)) / 2 < probability ? low : high) = middle;
    }
    // Rounded coarsely, so that the last digit of a mathematics library cannot be seen.
    values_[i] = static_cast<float>(std::round(low * 4096) / 4096);
    values_[kSize - 1 - i] = -values_[i];
  }
}

WeightSource::WeightSource(const GaussianTable& gaussian, float mean, float deviation,
                           uint64_t seed)
    : seed_(mix(seed)) {
  for (size_t i = 0; i < values_.size(); ++i) {
    values_[i] = mean + deviation * gaussian[i];
    halves_[i] = f16_from_f32(values_[i]);
  }
}

void WeightSource::write_row(Format format, uint64_t row, size_t k, uint8_t* out) const {
  TwelveBits random(mix(seed_ + row));
  if (format == Format::kF16) {
    for (size_t i = 0; i < k; ++i) {
      std::memcpy(out + i * sizeof(uint16_t), &halves_[random.next()], sizeof(uint16_t));
    }
    return;
  }
  if (format == Format::kF32) {
    for (size_t i = 0; i < k; ++i) {
      std::memcpy(out + i * sizeof(float), &values_[random.next()], sizeof(float));
    }
    return;
  }
  NIBBLE_CHECK(format == Format::kQ4_0 || format == Format::kQ8_0);
  const auto quantize = format == Format::kQ4_0 ? quantize_q4_0 : quantize_q8_0;
  float block[NIBBLE_BLOCK];
  for (size_t i = 0; i < k; i += NIBBLE_BLOCK, out += format_info(format).block_bytes) {
    for (float& weight : block) weight = values_[random.next()];
    quantize(block, out);
  }
}

}  // namespace nibble::cli
