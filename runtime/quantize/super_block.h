// Super-blocks: 256 weights in sub-blocks whose scales are themselves small integers ("codes")
// times one half. The sub-blocks are fitted alone first; then codes and halves are improved by
// turns: with the halves fixed, each sub-block takes the neighbouring code that loses least; with
// the codes and levels fixed, the halves follow by least squares. Read next: super_blocks.cpp.
#pragma once

#include <array>
#include <cstring>

#include "runtime/quantize/fit.h"

namespace nibble {

inline constexpr size_t kSuper = 256;
inline constexpr int kTurns = 2;

inline BlockView sub_block(BlockView block, size_t at) {
  return {block.x + at, block.w + at};
}

// Weights as scale * code[sub-block] * level, code from kCodeLow to kCodeHigh.
template <size_t kSub, class Levels, int kCodeLow, int kCodeHigh>
struct ScaledSuperBlock {
  static constexpr size_t kSubs = kSuper / kSub;
  float scale = 0;
  std::array<int, kSubs> code{};
  float lost = std::numeric_limits<float>::infinity();

  static ScaledSuperBlock fit(BlockView block) {
    std::array<float, kSubs> scales;
    for (size_t j = 0; j < kSubs; ++j) {
      scales[j] = fit_scale<kSub, Levels>(sub_block(block, j * kSub));
    }
    ScaledSuperBlock turn;
    turn.scale = nearest_half(peak<kSubs>(scales.data()) / kCodeLow);
    for (size_t j = 0; j < kSubs; ++j) {
      const float wanted = std::nearbyint(scales[j] * inverse(turn.scale));
      turn.code[j] = static_cast<int>(std::clamp<float>(wanted, kCodeLow, kCodeHigh));
    }
    ScaledSuperBlock best;
    for (int i = 0; i < kTurns; ++i) {
      turn.choose_codes(block);
      if (!(turn.lost < best.lost)) break;
      best = turn;
      turn.scale = nearest_half(turn.least_squares(block));
    }
    return best;
  }

  // Numbers of the levels of all weights.
  void round_codes(const float* x, uint8_t* out) const {
    for (size_t j = 0; j < kSubs; ++j) {
      float level[kSub];
      round_levels<kSub, Levels>(x + j * kSub, 0, inverse(sub_scale(j)), level);
      for (size_t i = 0; i < kSub; ++i) out[j * kSub + i] = Levels::code(level[i]);
    }
  }

 private:
  float sub_scale(size_t j) const { return scale * static_cast<float>(code[j]); }

  void choose_codes(BlockView block) {
    lost = 0;
    for (size_t j = 0; j < kSubs; ++j) {
      const int before = code[j];
      float least = std::numeric_limits<float>::infinity();
      for (int c = std::max(before - 1, kCodeLow); c <= std::min(before + 1, kCodeHigh); ++c) {
        const float l =
            loss<kSub, Levels>(sub_block(block, j * kSub), scale * static_cast<float>(c));
        if (l < least) code[j] = c;
        least = std::min(least, l);
      }
      lost += least;
    }
  }

  float least_squares(BlockView block) const {
    float along = 0, norm = 0;
    for (size_t j = 0; j < kSubs; ++j) {
      const BlockView sub = sub_block(block, j * kSub);
      float level[kSub];
      round_levels<kSub, Levels>(sub.x, 0, inverse(sub_scale(j)), level);
      const float factor = static_cast<float>(code[j]);
      along += factor * sum_of<kSub>([&](size_t i) { return sub.w[i] * sub.x[i] * level[i]; });
      norm +=
          factor * factor * sum_of<kSub>([&](size_t i) { return sub.w[i] * level[i] * level[i]; });
    }
    return norm > 0 ? along / norm : scale;
  }
};

// Weights as scale * code[sub-block] * level - offset * offset_code[sub-block]; levels from 0,
// codes from 0 to kCodeMax.
template <size_t kSub, class Levels, int kCodeMax>
struct OffsetSuperBlock {
  static constexpr size_t kSubs = kSuper / kSub;
  float scale = 0, offset = 0;
  std::array<int, kSubs> code{}, offset_code{};
  float lost = std::numeric_limits<float>::infinity();

  static OffsetSuperBlock fit(BlockView block) {
    std::array<ScaleAndOffset, kSubs> fits;
    float scale_max = 0, offset_max = 0;
    for (size_t j = 0; j < kSubs; ++j) {
      fits[j] = fit_scale_and_offset<kSub, Levels, true>(sub_block(block, j * kSub));
      scale_max = std::max(scale_max, fits[j].scale);
      offset_max = std::max(offset_max, -fits[j].offset);
    }
    OffsetSuperBlock turn;
    turn.scale = nearest_half(scale_max / kCodeMax);
    turn.offset = nearest_half(offset_max / kCodeMax);
    for (size_t j = 0; j < kSubs; ++j) {
      turn.code[j] = nearest_code(fits[j].scale, turn.scale);
      turn.offset_code[j] = nearest_code(-fits[j].offset, turn.offset);
    }
    OffsetSuperBlock best;
    for (int i = 0; i < kTurns; ++i) {
      turn.choose_codes(block);
      if (!(turn.lost < best.lost)) break;
      best = turn;
      turn.least_squares(block);
    }
    return best;
  }

  void round_codes(const float* x, uint8_t* out) const {
    for (size_t j = 0; j < kSubs; ++j) {
      float level[kSub];
      round_levels<kSub, Levels>(x + j * kSub, sub_offset(j), inverse(sub_scale(j)), level);
      for (size_t i = 0; i < kSub; ++i) out[j * kSub + i] = Levels::code(level[i]);
    }
  }

 private:
  static int nearest_code(float value, float unit) {
    return static_cast<int>(std::clamp<float>(std::nearbyint(value * inverse(unit)), 0, kCodeMax));
  }
  float sub_scale(size_t j) const { return scale * static_cast<float>(code[j]); }
  float sub_offset(size_t j) const { return -(offset * static_cast<float>(offset_code[j])); }

  void choose_codes(BlockView block) {
    lost = 0;
    for (size_t j = 0; j < kSubs; ++j) {
      const BlockView sub = sub_block(block, j * kSub);
      const int before = code[j], offset_before = offset_code[j];
      float least = std::numeric_limits<float>::infinity();
      for (int c = std::max(before - 1, 0); c <= std::min(before + 1, kCodeMax); ++c) {
        for (int o = std::max(offset_before - 1, 0); o <= std::min(offset_before + 1, kCodeMax);
             ++o) {
          const float l = loss<kSub, Levels>(sub, scale * static_cast<float>(c),
                                             -(offset * static_cast<float>(o)));
          if (!(l < least)) continue;
          least = l;
          code[j] = c;
          offset_code[j] = o;
        }
      }
      lost += least;
    }
  }

  // Scale and offset best for the codes and levels: x = scale * a - offset * b.
  void least_squares(BlockView block) {
    float aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (size_t j = 0; j < kSubs; ++j) {
      const BlockView sub = sub_block(block, j * kSub);
      float level[kSub];
      round_levels<kSub, Levels>(sub.x, sub_offset(j), inverse(sub_scale(j)), level);
      const float a = static_cast<float>(code[j]), b = static_cast<float>(offset_code[j]);
      aa += a * a * sum_of<kSub>([&](size_t i) { return sub.w[i] * level[i] * level[i]; });
      ab += a * b * sum_of<kSub>([&](size_t i) { return sub.w[i] * level[i]; });
      bb += b * b * sum_of<kSub>([&](size_t i) { return sub.w[i]; });
      xa += a * sum_of<kSub>([&](size_t i) { return sub.w[i] * sub.x[i] * level[i]; });
      xb += b * sum_of<kSub>([&](size_t i) { return sub.w[i] * sub.x[i]; });
    }
    const float determinant = aa * bb - ab * ab;
    if (determinant > 1e-6f * aa * bb) {
      const float new_scale = (bb * xa - ab * xb) / determinant;
      const float new_offset = (ab * xa - aa * xb) / determinant;
      if (new_scale <= 0 || new_offset < 0) return;
      scale = nearest_half(new_scale);
      offset = nearest_half(new_offset);
    } else if (aa > 0) {
      scale = nearest_half((xa + offset * ab) / aa);
    }
  }
};

}  // namespace nibble
