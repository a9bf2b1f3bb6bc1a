#include "runtime/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

namespace nibble {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();
constexpr int kMaxPenaltyTokens = 1 << 20;

// e^x for x <= 0, within 1e-14 of it. Ours because libraries differ in the last bit, and with it in
// the token drawn.
double exp_not_positive(double x) {
  constexpr double kLog2E = 1.4426950408889634;
  constexpr double kLn2High = 6.93147180369123816490e-01;  // the low bits are zero: n * it is exact
  constexpr double kLn2Low = 1.90821492927058770002e-10;
  const double bounded = x > -700 ? x : -700;
  // Adding 1.5 * 2^52 rounds to an integer, which is then in the low bits too.
  const double shifted = bounded * kLog2E + 0x1.8p52;
  const double n = shifted - 0x1.8p52;
  const double r = (bounded - n * kLn2High) - n * kLn2Low;
  // Taylor: |r| <= 0.35, so r^12 / 12! < 7e-15.
  double sum = 1.0 / 39916800;
  sum = sum * r + 1.0 / 3628800;
  sum = sum * r + 1.0 / 362880;
  sum = sum * r + 1.0 / 40320;
  sum = sum * r + 1.0 / 5040;
  sum = sum * r + 1.0 / 720;
  sum = sum * r + 1.0 / 120;
  sum = sum * r + 1.0 / 24;
  sum = sum * r + 1.0 / 6;
  sum = sum * r + 1.0 / 2;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  const double power = std::bit_cast<double>((std::bit_cast<uint64_t>(shifted) + 1023) << 52);
  return x > -700 ? sum * power : 0;
}

bool better(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// Without a branch per value, which the compiler makes into vector comparisons.
constexpr size_t kBlock = 64;
bool any_above(const float* values, float threshold) {
  int32_t above = 0;
  for (size_t i = 0; i < kBlock; ++i) above += values[i] > threshold ? 1 : 0;
  return above != 0;
}

// Leaves the `count` best, the last of them at the end.
void keep_best(size_t count, std::vector<Candidate>* best) {
  std::nth_element(best->begin(), best->begin() + static_cast<std::ptrdiff_t>(count - 1),
                   best->end(), better);
  best->resize(count);
}

// The `count` best of what show(use) gives to use(logits, first id) in ascending order of ids,
// sorted. A threshold that only rises leaves one comparison for almost all of a large vocabulary.
constexpr size_t kSlack = 256;
template <typename Show>
void select_best(size_t count, Show show, std::vector<Candidate>* best) {
  best->clear();
  if (count == 0) return;
  const size_t full = count + kSlack;
  float threshold = kLowest;
  const auto consider = [&](float logit, size_t id) {
    if (!(logit > threshold)) return;  // an equal one has a higher id than those kept
    best->push_back({logit, static_cast<int32_t>(id)});
    if (best->size() < full) return;
    keep_best(count, best);
    threshold = best->back().logit;
  };
  show([&](std::span<const float> logits, size_t first) {
    size_t i = 0;
    for (; i + kBlock <= logits.size(); i += kBlock) {
      if (!any_above(&logits[i], threshold)) continue;
      for (size_t j = i; j < i + kBlock; ++j) consider(logits[j], first + j);
    }
    for (; i < logits.size(); ++i) consider(logits[i], first + i);
  });
  if (best->size() > count) keep_best(count, best);
  std::sort(best->begin(), best->end(), better);
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

size_t bucket_of(float logit, float best, double per_logit) {
  const double position = (static_cast<double>(best) - logit) * per_logit;
  return static_cast<size_t>(std::min(kBuckets - 1.0, position));  // in this order NaN is the last
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options, size_t vocabulary)
    : options_(options), vocabulary_(vocabulary), random_(options.seed) {
  if (uses_penalties(options_)) {
    recent_.reserve(static_cast<size_t>(options_.penalty_last_n));
    penalised_.reserve(std::min(static_cast<size_t>(options_.penalty_last_n), vocabulary));
  }
  const size_t count = selected();
  const bool all = count == 0;
  const size_t capacity = all ? vocabulary : count + kSlack;
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

size_t Sampler::selected() const {
  if (options_.temperature == 0) return 1;
  const auto top_k = static_cast<size_t>(options_.top_k);
  return top_k < vocabulary_ ? top_k : 0;
}

template <typename Use>
void Sampler::show(std::span<const float> logits, Use use) const {
  logits = logits.first(std::min(logits.size(), vocabulary_));
  size_t next = 0;
  for (const Penalised& token : penalised_) {
    const auto id = static_cast<size_t>(token.id);
    if (id >= logits.size()) break;
    use(logits.subspan(next, id - next), next);
    const float logit = penalise(logits[id], token.count);
    use(std::span<const float>(&logit, 1), id);
    next = id + 1;
  }
  use(logits.subspan(next), next);
}

int32_t Sampler::sample(std::span<const float> logits) {
  const auto show_all = [&](auto use) { show(logits, use); };
  if (const size_t count = selected(); count > 0) {
    select_best(count, show_all, &candidates_);
    if (candidates_.empty()) return 0;
    return options_.temperature == 0 ? candidates_[0].id : draw_sorted();
  }
  candidates_.clear();
  show_all([&](std::span<const float> run, size_t first) {
    for (size_t i = 0; i < run.size(); ++i) {
      candidates_.push_back({run[i], static_cast<int32_t>(first + i)});
    }
  });
  return candidates_.empty() ? 0 : draw_unsorted();
}

int32_t Sampler::sample(std::span<const float> logits, TokenFilter& filter,
                        const ExactLogits& exact) {
  constexpr size_t kTriedOfAll = 512;
  const size_t count = selected();
  const size_t tried = count == 0 ? kTriedOfAll : std::max(count, kLeastTried);
  select_best(
      std::min(tried, logits.size()), [&](auto use) { show(logits, use); }, &candidates_);
  std::erase_if(candidates_, [&](const Candidate& one) { return !filter.allows(one.id); });
  if (candidates_.empty()) {
    filter.all_allowed(&allowed_);
    allowed_logits_.resize(allowed_.size());
    for (size_t i = 0; i < allowed_.size(); ++i) {
      allowed_logits_[i] = logits[static_cast<size_t>(allowed_[i])];
    }
    if (exact) exact(allowed_, allowed_logits_);
    auto penalised = penalised_.begin();
    for (size_t i = 0; i < allowed_.size(); ++i) {
      const int32_t id = allowed_[i];
      while (penalised != penalised_.end() && penalised->id < id) ++penalised;
      const bool is_penalised = penalised != penalised_.end() && penalised->id == id;
      const float logit = allowed_logits_[i];
      candidates_.push_back({is_penalised ? penalise(logit, penalised->count) : logit, id});
    }
    std::sort(candidates_.begin(), candidates_.end(), better);
  }
  if (candidates_.empty()) return -1;
  if (count > 0 && candidates_.size() > count) candidates_.resize(count);
  return options_.temperature == 0 ? candidates_[0].id : draw_sorted();
}

// Sets weights_ and returns their sum.
double Sampler::weigh(float best) {
  const double scale = 1.0 / options_.temperature;
  weights_.resize(candidates_.size());
  for (size_t i = 0; i < candidates_.size(); ++i) {
    weights_[i] = exp_not_positive((static_cast<double>(candidates_[i].logit) - best) * scale);
  }
  return std::accumulate(weights_.begin(), weights_.end(), 0.0);
}

int32_t Sampler::draw_sorted() {
  const double total = weigh(candidates_[0].logit);
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
  float best = kLowest;
  for (const Candidate& candidate : candidates_) best = std::max(best, candidate.logit);
  const double total = weigh(best);
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
  const double per_logit = kBucketsPerNat / options_.temperature;
  const double wanted = options_.top_p * total;
  buckets_.assign(kBuckets, 0);
  for (size_t i = 0; i < candidates_.size(); ++i) {
    buckets_[bucket_of(candidates_[i].logit, best, per_logit)] += weights_[i];
  }
  size_t bucket = 0;
  double sum = 0;
  while (bucket + 1 < kBuckets && sum + buckets_[bucket] < wanted) sum += buckets_[bucket++];
  edge_.clear();
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const Candidate& candidate = candidates_[i];
    if (bucket_of(candidate.logit, best, per_logit) == bucket) edge_.push_back({candidate, i});
  }
  // Rounding may ask for more than there is in the last bucket with any weight.
  if (edge_.empty()) return {kLowest, std::numeric_limits<int32_t>::max()};
  std::sort(edge_.begin(), edge_.end(),
            [](const auto& a, const auto& b) { return better(a.first, b.first); });
  for (const auto& [candidate, index] : edge_) {
    sum += weights_[index];
    if (sum >= wanted) return candidate;
  }
  return edge_.back().first;
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
  select_best(
      std::min(static_cast<size_t>(count), logits.size()),
      [&](auto use) { use(logits, size_t{0}); }, &best);
  if (best.empty()) return;
  const double log_sum = log_sum_exp(logits, best[0].logit);
  for (const Candidate& candidate : best) {
    out->emplace_back(candidate.id, static_cast<float>(candidate.logit - log_sum));
  }
}

int32_t argmax(std::span<const float> logits) {
  size_t at = 0;
  for (size_t id = 1; id < logits.size(); ++id) {
    if (logits[id] > logits[at]) at = id;
  }
  return static_cast<int32_t>(at);
}

}  // namespace nibble
