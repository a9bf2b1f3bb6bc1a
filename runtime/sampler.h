// Chooses the next token from logits. Own random numbers and own ordering: the same logits, seed
// and options give the same token everywhere; ties go to the lowest id.
//
// Order: penalties, temperature, top-k, top-p, min-p, draw. Temperature 0 is greedy.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "nibble/nibble.h"

namespace nibble {

// A fast generator with a published definition: SplitMix64-seeded xoshiro256** (Blackman & Vigna
// 2018, public domain).
class Random {
 public:
  explicit Random(uint64_t seed);
  uint64_t next();
  double uniform();  // [0, 1), 53 bits

 private:
  uint64_t state_[4];
};

// Checks every field's range. Error 64 names the field, its value and its range.
Result<void> validate(const SamplingOptions& options);

class Sampler {
 public:
  Sampler(const SamplingOptions& options, size_t vocabulary);

  // Tells the sampler about tokens that count for the penalties (prompt and output, in order).
  void accept(int32_t id);

  // Picks an id. `logits` is not changed. All logits must be finite (the session checks).
  // No allocation after the first call.
  int32_t sample(std::span<const float> logits);

 private:
  SamplingOptions options_;
  Random random_;
  std::vector<int32_t> recent_;  // last penalty_last_n tokens, a ring
  size_t recent_next_ = 0;
  std::vector<std::pair<float, int32_t>> candidates_;  // scratch
};

// Log-probability of `id` and the `count` best (by value, then id), from raw logits; double inside.
double log_probability(std::span<const float> logits, int32_t id);
void top_log_probabilities(std::span<const float> logits, int count,
                           std::vector<std::pair<int32_t, float>>* out);

// Index of the largest logit, the lowest id among equals.
int32_t argmax(std::span<const float> logits);

}  // namespace nibble
