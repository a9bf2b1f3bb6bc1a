// Chooses the next token from logits. Own random numbers, own exponential and own ordering: the
// same logits, seed and options give the same token everywhere; ties go to the lowest id.
//
// Order: penalties, temperature, top-k, top-p, min-p, draw. Temperature 0 is greedy.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "nibble/nibble.h"
#include "nibble/result.h"

namespace nibble {

// Error 64 with the field, its value and its range.
Result<void> validate(const SamplingOptions& options);

// A fast generator with a published definition: SplitMix64-seeded xoshiro256** (Blackman & Vigna
// 2018, public domain).
class Random {
 public:
  explicit Random(uint64_t seed);
  explicit Random(const std::array<uint64_t, 4>& state) : state_(state) {}  // not all zero
  uint64_t next();
  double uniform();  // [0, 1), 53 bits

 private:
  std::array<uint64_t, 4> state_;
};

struct Candidate {
  float logit;
  int32_t id;
};

// Which tokens may be chosen.
class TokenFilter {
 public:
  virtual bool allows(int32_t id) = 0;
  virtual void all_allowed(std::vector<int32_t>* out) = 0;  // ascending

 protected:
  ~TokenFilter() = default;
};

// Where the logits beyond the best are approximate (ops/head.h): those of some ids, exactly.
using ExactLogits = std::function<void(std::span<const int32_t> ids, std::span<float> logits)>;

class Sampler {
 public:
  // `options` must be valid; all memory is allocated here.
  Sampler(const SamplingOptions& options, size_t vocabulary);

  // Tells the sampler about tokens that count for the penalties (prompt and output, in order).
  void accept(int32_t id);

  // Picks an id. `logits` ([vocabulary]) is not changed. All logits must be finite (the session
  // checks). No allocation after the first call.
  int32_t sample(std::span<const float> logits);

  // The same among the tokens that `filter` allows; -1 if there are none. The likeliest are asked
  // for first, some hundreds where top-k asks for fewer, and all only if none of those is allowed;
  // `exact` then gives their logits, where it is not null.
  int32_t sample(std::span<const float> logits, TokenFilter& filter,
                 const ExactLogits& exact = nullptr);
  // How many are asked for at least.
  static constexpr size_t kLeastTried = 64;

 private:
  struct Penalised {
    int32_t id;
    int32_t count;
  };

  float penalise(float logit, int32_t count) const;
  // How many of the best are wanted; 0: all of them.
  size_t selected() const;
  // Calls use(run of logits, id of the first) in ascending order of ids, penalties applied.
  template <typename Use>
  void show(std::span<const float> logits, Use use) const;
  double weigh(float best);
  int32_t draw_sorted();
  int32_t draw_unsorted();
  Candidate nucleus_end(float best, double total);
  int32_t draw(double sum);

  SamplingOptions options_;
  size_t vocabulary_;
  Random random_;
  std::vector<int32_t> recent_;  // last penalty_last_n tokens, a ring
  size_t recent_next_ = 0;
  std::vector<Penalised> penalised_;                // the tokens of the ring, by id
  std::vector<Candidate> candidates_;               // scratch
  std::vector<int32_t> allowed_;                    // scratch
  std::vector<float> allowed_logits_;               // scratch
  std::vector<double> weights_;                     // scratch: of the candidates, the largest is 1
  std::vector<double> buckets_;                     // scratch of nucleus_end
  std::vector<std::pair<Candidate, size_t>> edge_;  // scratch of nucleus_end, with the index
};

// Log-probability of `id` and the `count` best (by value, then id), from raw logits; double inside.
double log_probability(std::span<const float> logits, int32_t id);
void top_log_probabilities(std::span<const float> logits, int count,
                           std::vector<std::pair<int32_t, float>>* out);

// Index of the largest logit, the lowest id among equals.
int32_t argmax(std::span<const float> logits);

}  // namespace nibble
