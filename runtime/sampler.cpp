#include "runtime/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

namespace nibble {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();
constexpr int kMaxPenaltyTokens = 1 << 20;

// e^x for x <= 0, to about one unit in the last place of a double. Ours because libraries differ
// in the last bit, and with it in the token drawn.
double exp_not_positive(double x) {
  constexpr double kLog2E = 1.4426950408889634;
  constexpr double kLn2High = 6.93147180369123816490e-01;  // the low bits are zero: n * it is exact
  constexpr double kLn2Low = 1.90821492927058770002e-10;
  if (!(x > -700)) return 0;
  const auto n = static_cast<int64_t>(x * kLog2E - 0.5);
  const auto whole = static_cast<double>(n);
  const double r = (x - whole * kLn2High) - whole * kLn2Low;
  double sum = 1.0 / 6227020800;  // Taylor: |r| <= 0.35, so r^14 / 14! < 5e-18
  for (const double term :
       {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
        1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 1.0 / 2, 1.0, 1.0}) {
    sum = sum * r + term;
  }
  return sum * std::bit_cast<double>(static_cast<uint64_t>(n + 1023) << 52);
}

bool better(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// The `count` best of what for_each(use) shows in ascending order of ids, sorted. A threshold that
// only rises leaves one comparison for almost all of a large vocabulary.
constexpr size_t kSlack = 1024;
template <typename ForEach>
void select_best(size_t count, ForEach for_each, std::vector<Candidate>* best) {
  best->clear();
  if (count == 0) return;
  const size_t full = count + kSlack;
  float threshold = kLowest;
  for_each([&](float logit, int32_t id) {
    if (!(logit > threshold)) return;  // an equal one has a higher id than those kept
    best->push_back({logit, id});
    if (best->size() < full) return;
    std::nth_element(best->begin(), best->begin() + static_cast<std::ptrdiff_t>(count - 1),
                     best->end(), better);
    best->resize(count);
    threshold = best->back().logit;
  });
  std::sort(best->begin(), best->end(), better);
  if (best->size() > count) best->resize(count);
}

template <typename Number>
Result<void> in_range(const char* field, Number value, Number low, Number high) {
  if (value >= low && value <= high) return {};  // false for NaN
  const auto text = [](Number number) {
    std::string out = std::to_string(number);
    if (out.find('.') == std::string::npos) return out;
    out.erase(out.find_last_not_of('0') + 1);
    if (out.back() == '.') out.pop_back();
    return out;
  };
  return Error{ErrorCode::kUsage, std::string(field) + " is " + text(value) + "; it must be " +
                                      text(low) + " to " + text(high)};
}

double log_sum_exp(std::span<const float> logits, float best) {
  double sum = 0;
  for (const float logit : logits) sum += exp_not_positive(static_cast<double>(logit) - best);
  return std::log(sum) + best;
}

}  // namespace

Result<void> validate(const SamplingOptions& options) {
  NIBBLE_TRY_VOID(in_range("temperature", options.temperature, 0.0f, 100.0f));
  NIBBLE_TRY_VOID(in_range("top_k", options.top_k, 0, std::numeric_limits<int>::max()));
  NIBBLE_TRY_VOID(in_range("top_p", options.top_p, 0.0f, 1.0f));
  NIBBLE_TRY_VOID(in_range("min_p", options.min_p, 0.0f, 1.0f));
  NIBBLE_TRY_VOID(in_range("repeat_penalty", options.repeat_penalty, 0.01f, 100.0f));
  NIBBLE_TRY_VOID(in_range("presence_penalty", options.presence_penalty, -100.0f, 100.0f));
  NIBBLE_TRY_VOID(in_range("frequency_penalty", options.frequency_penalty, -100.0f, 100.0f));
  return in_range("penalty_last_n", options.penalty_last_n, 0, kMaxPenaltyTokens);
}

Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) {  // SplitMix64
    seed += 0x9E3779B97F4A7C15;
    uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    word = z ^ (z >> 31);
  }
}

uint64_t Random::next() {
  auto& s = state_;
  const uint64_t result = std::rotl(s[1] * 5, 7) * 9;
  const uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = std::rotl(s[3], 45);
  return result;
}

double Random::uniform() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

namespace {

bool uses_penalties(const SamplingOptions& options) {
  return options.penalty_last_n > 0 &&
         (options.repeat_penalty != 1 || options.presence_penalty != 0 ||
          options.frequency_penalty != 0);
}

constexpr size_t kBuckets = 4096;
constexpr double kBucketsPerNat = 64;

size_t bucket_of(float logit, float best, double temperature) {
  const double below = (static_cast<double>(best) - logit) / temperature;
  return static_cast<size_t>(std::min(below * kBucketsPerNat, kBuckets - 1.0));
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options, size_t vocabulary)
    : options_(options), vocabulary_(vocabulary), random_(options.seed) {
  if (uses_penalties(options_)) {
    recent_.reserve(static_cast<size_t>(options_.penalty_last_n));
    penalised_.reserve(std::min(static_cast<size_t>(options_.penalty_last_n), vocabulary));
  }
  if (options_.temperature == 0) return;
  const auto top_k = static_cast<size_t>(options_.top_k);
  const bool all = top_k == 0 || top_k >= vocabulary;
  const size_t capacity = all ? vocabulary : top_k + kSlack;
  candidates_.reserve(capacity);
  weights_.reserve(capacity);
  if (all && options_.top_p < 1) {
    buckets_.reserve(kBuckets);
    edge_.reserve(vocabulary);
  }
}

void Sampler::accept(int32_t id) {
  if (!uses_penalties(options_) || id < 0 || static_cast<size_t>(id) >= vocabulary_) return;
  const auto entry = [&](int32_t token) {
    return std::lower_bound(penalised_.begin(), penalised_.end(), token,
                            [](const Penalised& p, int32_t other) { return p.id < other; });
  };
  if (recent_.size() < static_cast<size_t>(options_.penalty_last_n)) {
    recent_.push_back(id);
  } else {
    const auto oldest = entry(std::exchange(recent_[recent_next_], id));
    if (--oldest->count == 0) penalised_.erase(oldest);
    recent_next_ = (recent_next_ + 1) % recent_.size();
  }
  const auto at = entry(id);
  if (at != penalised_.end() && at->id == id) {
    ++at->count;
  } else {
    penalised_.insert(at, {id, 1});
  }
}

float Sampler::penalise(float logit, int32_t count) const {
  const float repeat = options_.repeat_penalty;
  logit = logit > 0 ? logit / repeat : logit * repeat;
  return logit - options_.presence_penalty - options_.frequency_penalty * static_cast<float>(count);
}

template <typename Use>
void Sampler::for_each(std::span<const float> logits, Use use) const {
  const auto size = static_cast<int32_t>(std::min(logits.size(), vocabulary_));
  int32_t id = 0;
  for (const Penalised& token : penalised_) {
    if (token.id >= size) break;
    for (; id < token.id; ++id) use(logits[id], id);
    use(penalise(logits[id], token.count), id);
    ++id;
  }
  for (; id < size; ++id) use(logits[id], id);
}

int32_t Sampler::sample(std::span<const float> logits) {
  const auto show = [&](auto use) { for_each(logits, use); };
  if (options_.temperature == 0) {
    Candidate best = {kLowest, 0};
    show([&](float logit, int32_t id) {
      if (logit > best.logit) best = {logit, id};
    });
    return best.id;
  }
  const auto top_k = static_cast<size_t>(options_.top_k);
  if (top_k > 0 && top_k < vocabulary_) {
    select_best(top_k, show, &candidates_);
    return draw_sorted();
  }
  candidates_.clear();
  show([&](float logit, int32_t id) { candidates_.push_back({logit, id}); });
  return draw_unsorted();
}

double Sampler::weight(float logit, float best) const {
  return exp_not_positive((static_cast<double>(logit) - best) / options_.temperature);
}

int32_t Sampler::draw_sorted() {
  if (candidates_.empty()) return 0;
  weights_.clear();
  double total = 0;
  for (const Candidate& candidate : candidates_) {
    weights_.push_back(weight(candidate.logit, candidates_[0].logit));
    total += weights_.back();
  }
  const double wanted = options_.top_p * total;
  double sum = 0;
  size_t kept = 0;
  while (kept < weights_.size() && (kept == 0 || options_.top_p >= 1 || sum < wanted) &&
         weights_[kept] >= options_.min_p) {
    sum += weights_[kept++];
  }
  candidates_.resize(kept);
  return draw(sum);
}

// Without top-k nothing is sorted: what stays in the nucleus is told by its last member.
int32_t Sampler::draw_unsorted() {
  if (candidates_.empty()) return 0;
  float best = kLowest;
  for (const Candidate& candidate : candidates_) best = std::max(best, candidate.logit);
  weights_.clear();
  double total = 0;
  for (const Candidate& candidate : candidates_) {
    weights_.push_back(weight(candidate.logit, best));
    total += weights_.back();
  }
  const bool all = options_.top_p >= 1;
  const Candidate last = all ? Candidate{} : nucleus_end(best, total);
  double sum = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const bool kept = (all || !better(last, candidates_[i])) && weights_[i] >= options_.min_p;
    if (!kept) weights_[i] = 0;
    sum += weights_[i];
  }
  return draw(sum);
}

// The last member of the smallest set of best candidates that has top_p of the weight: found in a
// histogram by logit, of which only one bucket is sorted.
Candidate Sampler::nucleus_end(float best, double total) {
  const double temperature = options_.temperature;
  const double wanted = options_.top_p * total;
  buckets_.assign(kBuckets, 0);
  for (size_t i = 0; i < candidates_.size(); ++i) {
    buckets_[bucket_of(candidates_[i].logit, best, temperature)] += weights_[i];
  }
  size_t bucket = 0;
  double sum = 0;
  while (bucket + 1 < kBuckets && sum + buckets_[bucket] < wanted) sum += buckets_[bucket++];
  edge_.clear();
  for (const Candidate& candidate : candidates_) {
    if (bucket_of(candidate.logit, best, temperature) == bucket) edge_.push_back(candidate);
  }
  // Rounding may ask for more than there is in the last bucket with any weight.
  if (edge_.empty()) return {kLowest, std::numeric_limits<int32_t>::max()};
  std::sort(edge_.begin(), edge_.end(), better);
  for (const Candidate& candidate : edge_) {
    sum += weight(candidate.logit, best);
    if (sum >= wanted) return candidate;
  }
  return edge_.back();
}

// One of candidates_ by their weights_, whose sum is `sum`.
int32_t Sampler::draw(double sum) {
  double target = random_.uniform() * sum;
  size_t last = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (weights_[i] == 0) continue;
    last = i;
    target -= weights_[i];
    if (target < 0) break;
  }
  return candidates_[last].id;
}

double log_probability(std::span<const float> logits, int32_t id) {
  if (id < 0 || static_cast<size_t>(id) >= logits.size()) return kLowest;
  const float best = logits[static_cast<size_t>(argmax(logits))];
  return static_cast<double>(logits[static_cast<size_t>(id)]) - log_sum_exp(logits, best);
}

void top_log_probabilities(std::span<const float> logits, int count,
                           std::vector<std::pair<int32_t, float>>* out) {
  out->clear();
  if (logits.empty() || count <= 0) return;
  std::vector<Candidate> best;
  const auto show = [&](auto use) {
    for (size_t id = 0; id < logits.size(); ++id) use(logits[id], static_cast<int32_t>(id));
  };
  select_best(std::min(static_cast<size_t>(count), logits.size()), show, &best);
  if (best.empty()) return;
  const double log_sum = log_sum_exp(logits, best[0].logit);
  for (const Candidate& candidate : best) {
    out->emplace_back(candidate.id, static_cast<float>(candidate.logit - log_sum));
  }
}

int32_t argmax(std::span<const float> logits) {
  float best = kLowest;
  size_t at = 0;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] > best) {
      best = logits[id];
      at = id;
    }
  }
  return static_cast<int32_t>(at);
}

}  // namespace nibble
