// The search for a block's scale, shared by all formats. Stored values are scale * level + offset,
// a level being one of a few numbers ("Levels"): integers from low to high, or a table.
//
// A candidate is a rounding of the block; weighted least squares give the scale (and offset) best
// for it, so only the rounding is searched. Everything is in arrays of floats of a fixed length, so
// that compilers make vectors of it. Read next: blocks.cpp, super_block.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "simd/half_inl.h"

namespace nibble {

// Sum of f(i) for i < kN, in eight partial sums: an order that vectors can follow.
template <size_t kN, class F>
inline float sum_of(F f) {
  constexpr size_t kLanes = 8;
  static_assert(kN % kLanes == 0);
  float lanes[kLanes] = {};
  for (size_t i = 0; i < kN; i += kLanes) {
    for (size_t l = 0; l < kLanes; ++l) lanes[l] += f(i + l);
  }
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// Integers from kLow to kHigh.
template <int kLow, int kHigh>
struct IntegerLevels {
  static constexpr float low() { return kLow; }
  static constexpr float high() { return kHigh; }
  // The level nearest to y, |y| < 2^22 or beyond the ends.
  static float nearest(float y) {
    constexpr float kMagic = 0x1.8p23f;  // sums have their unit in the last place at 1
    y = std::min(std::max(y, low()), high());
    return (y + kMagic) - kMagic;
  }
  // Its number, from 0.
  static uint8_t code(float level) { return static_cast<uint8_t>(level - low()); }
};

// The sixteen levels of IQ4_NL and IQ4_XS: denser near zero, where weights are.
struct Iq4Levels {
  static constexpr float kValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};
  static constexpr float low() { return kValues[0]; }
  static constexpr float high() { return kValues[15]; }
  static float nearest(float y) {
    float level = kValues[0];
    for (size_t i = 1; i < 16; ++i) {
      const float middle = (kValues[i - 1] + kValues[i]) / 2;
      level += y > middle ? kValues[i] - kValues[i - 1] : 0.0f;
    }
    return level;
  }
  static uint8_t code(float level) {
    return static_cast<uint8_t>(std::find(kValues, kValues + 16, level) - kValues);
  }
};

// The nearest half that is finite.
inline float nearest_half(float value) {
  constexpr float kMost = 65504;
  return f32_from_f16(f16_from_f32(std::clamp(value, -kMost, kMost)));
}

// 1 / scale for the search of levels; 0 where that is useless (all weights are as good as zero).
inline float inverse(float scale) {
  return std::abs(scale) > 1e-30f ? 1 / scale : 0.0f;
}

// Weights of a block with their importances: what every search reads.
struct BlockView {
  const float* x;
  const float* w;
};

template <size_t kN, class Levels>
inline void round_levels(const float* x, float offset, float inverse_scale, float* level) {
  for (size_t i = 0; i < kN; ++i) level[i] = Levels::nearest((x[i] - offset) * inverse_scale);
}

// What the block loses with this scale and offset, its levels chosen best.
template <size_t kN, class Levels>
inline float loss(BlockView block, float scale, float offset = 0) {
  const float inverse_scale = inverse(scale);
  return sum_of<kN>([&](size_t i) {
    const float level = Levels::nearest((block.x[i] - offset) * inverse_scale);
    const float error = block.x[i] - (scale * level + offset);
    return block.w[i] * error * error;
  });
}

// The element of largest magnitude, with its sign.
template <size_t kN>
inline float peak(const float* x) {
  float high = 0, low = 0;
  for (size_t i = 0; i < kN; ++i) {
    high = std::max(high, x[i]);
    low = std::min(low, x[i]);
  }
  return high >= -low ? high : low;
}

// Steps of the search: the largest weight is put at (1 + i * kStep) of an end of the levels.
template <class Levels>
struct ScaleSteps {
  static constexpr int kCount = 8;  // to either side
  // About a level in total, as a part of the largest.
  static constexpr float kStep = 1.0f / (kCount * (Levels::high() > 100 ? 8 : Levels::high() + 1));
};

// The scale best for x = scale * level.
template <size_t kN, class Levels>
float fit_scale(BlockView block) {
  const float top = peak<kN>(block.x);
  if (inverse(top) == 0) return 0;
  float wx[kN], level[kN];
  for (size_t i = 0; i < kN; ++i) wx[i] = block.w[i] * block.x[i];
  float best = 0, best_gain = 0;  // gain: what the scale takes from sum w x^2
  const auto attempt = [&](float inverse_scale) {
    round_levels<kN, Levels>(block.x, 0, inverse_scale, level);
    const float along = sum_of<kN>([&](size_t i) { return wx[i] * level[i]; });
    const float norm = sum_of<kN>([&](size_t i) { return block.w[i] * level[i] * level[i]; });
    const float gain = along * along / norm;
    if (!(gain > best_gain)) return false;  // nor when all levels are zero
    best = along / norm;
    best_gain = gain;
    return true;
  };
  using Steps = ScaleSteps<Levels>;
  constexpr bool kSymmetric = Levels::low() == -Levels::high();
  for (int i = -Steps::kCount; i <= Steps::kCount; ++i) {
    const float stretch = 1 + static_cast<float>(i) * Steps::kStep;
    attempt(stretch * Levels::low() / top);
    if (!kSymmetric) attempt(stretch * Levels::high() / top);
  }
  while (attempt(inverse(best))) {
  }
  return best;
}

// x = scale * level + offset.
struct ScaleAndOffset {
  float scale = 0;
  float offset = 0;
};

// The best of those, with levels from 0. kOffsetMax0: the offset must not be positive.
template <size_t kN, class Levels, bool kOffsetMax0>
ScaleAndOffset fit_scale_and_offset(BlockView block) {
  float low = block.x[0], high = block.x[0];
  for (size_t i = 0; i < kN; ++i) {
    low = std::min(low, block.x[i]);
    high = std::max(high, block.x[i]);
  }
  if (kOffsetMax0) low = std::min(low, 0.0f);
  const float range = high - low;
  if (inverse(range) == 0) return {0, low};

  // Relative to `low`, so that little is lost to cancellation where the range is narrow.
  float y[kN], wy[kN], level[kN];
  for (size_t i = 0; i < kN; ++i) y[i] = block.x[i] - low;
  for (size_t i = 0; i < kN; ++i) wy[i] = block.w[i] * y[i];
  const float sum_w = sum_of<kN>([&](size_t i) { return block.w[i]; });
  const float sum_y = sum_of<kN>([&](size_t i) { return wy[i]; });
  ScaleAndOffset best;
  float best_loss = std::numeric_limits<float>::infinity();  // less sum w y^2
  const auto attempt = [&](float offset, float inverse_scale) {
    round_levels<kN, Levels>(y, offset, inverse_scale, level);
    const float sum_l = sum_of<kN>([&](size_t i) { return block.w[i] * level[i]; });
    const float sum_ll = sum_of<kN>([&](size_t i) { return block.w[i] * level[i] * level[i]; });
    const float sum_ly = sum_of<kN>([&](size_t i) { return wy[i] * level[i]; });
    const float determinant = sum_w * sum_ll - sum_l * sum_l;
    if (!(sum_ll > 0)) return false;  // all levels are zero
    ScaleAndOffset fit{sum_ly / sum_ll, 0};
    if (determinant > 1e-6f * sum_w * sum_ll) {  // else all are alike: an offset has no sense
      fit = {(sum_w * sum_ly - sum_y * sum_l) / determinant,
             (sum_ll * sum_y - sum_l * sum_ly) / determinant};
    }
    if (kOffsetMax0 && fit.offset > -low) {
      fit.offset = -low;
      fit.scale = (sum_ly - fit.offset * sum_l) / sum_ll;
    }
    const float lost = fit.scale * (fit.scale * sum_ll - 2 * sum_ly) +
                       fit.offset * (fit.offset * sum_w - 2 * sum_y) +
                       2 * fit.scale * fit.offset * sum_l;
    if (!(lost < best_loss)) return false;
    best = fit;
    best_loss = lost;
    return true;
  };
  // The ends of the range are put this far beyond the ends of the levels.
  constexpr float kBeyond[] = {-0.4f, -0.1f, 0.2f, 0.5f};
  for (const float below : kBeyond) {
    for (const float above : kBeyond) {
      const float inverse_scale = (Levels::high() + below + above) / range;
      attempt(below / inverse_scale, inverse_scale);
    }
  }
  while (attempt(best.offset, inverse(best.scale))) {
  }
  return {best.scale, best.offset + low};
}

}  // namespace nibble
