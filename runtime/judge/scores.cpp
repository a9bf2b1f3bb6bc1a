#include "runtime/judge/scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/file/check.h"
#include "runtime/sampler.h"

namespace nibble {
namespace {

std::vector<double> differences(std::span<const double> a, std::span<const double> b,
                                double scale) {
  NIBBLE_CHECK(a.size() == b.size());
  std::vector<double> out(a.size());
  for (size_t i = 0; i < a.size(); ++i) out[i] = a[i] - scale * b[i];
  return out;
}

Estimate exponential(const Estimate& mean) {
  const double value = std::exp(mean.value);
  return {value, value * mean.error};
}

// Linear between the two nearest ranks.
double percentile(const std::vector<double>& sorted, double share) {
  const double rank = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(rank);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = rank - static_cast<double>(below);
  return (1 - part) * sorted[below] + part * sorted[above];
}

}  // namespace

Estimate mean_of(std::span<const double> values) {
  if (values.empty()) return {};
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  Estimate result{sum / count, 0};
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values) squares += (value - result.value) * (value - result.value);
  result.error = std::sqrt(squares / count / (count - 1));
  return result;
}

Prediction judge_row(std::span<const float> logits, int32_t next) {
  Prediction row;
  row.top = argmax(logits);
  row.log_sum = logits[static_cast<size_t>(row.top)] - log_probability(logits, row.top);
  row.nll = row.log_sum - logits[static_cast<size_t>(next)];
  return row;
}

double kl_divergence(std::span<const float> reference, const Prediction& p,
                     std::span<const float> logits, const Prediction& q) {
  NIBBLE_CHECK(reference.size() == logits.size());
  double sum = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double logit = reference[i];
    sum += std::exp(logit - p.log_sum) * (logit - logits[i]);
  }
  return std::max(0.0, sum - p.log_sum + q.log_sum);  // rounding may leave less than nothing
}

Estimate perplexity_of(std::span<const double> nlls) {
  return exponential(mean_of(nlls));
}

void Divergence::add(double divergence, const Prediction& reference, const Prediction& own) {
  kl.push_back(divergence);
  reference_nll.push_back(reference.nll);
  nll.push_back(own.nll);
  same_top += own.top == reference.top ? 1 : 0;
}

DivergenceSummary summarise(const Divergence& divergence) {
  NIBBLE_CHECK(!divergence.kl.empty());
  DivergenceSummary summary;
  summary.mean = mean_of(divergence.kl);
  std::vector<double> sorted = divergence.kl;
  std::sort(sorted.begin(), sorted.end());
  summary.median = percentile(sorted, 0.5);
  summary.p90 = percentile(sorted, 0.9);
  summary.p99 = percentile(sorted, 0.99);
  summary.most = sorted.back();
  const auto count = static_cast<double>(sorted.size());
  const double same = static_cast<double>(divergence.same_top) / count;
  summary.same_top = {same, sorted.size() > 1 ? std::sqrt(same * (1 - same) / (count - 1)) : 0};
  summary.perplexity_ratio =
      exponential(mean_of(differences(divergence.nll, divergence.reference_nll, 1)));
  return summary;
}

Estimate won_back(std::span<const double> reference_nll, std::span<const double> plain_nll,
                  std::span<const double> nll) {
  const double reference = perplexity_of(reference_nll).value;
  const double plain = perplexity_of(plain_nll).value;
  const double own = perplexity_of(nll).value;
  if (!(plain > reference)) {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    return {kNone, kNone};
  }
  // A ratio of means r = a / b has, to first order, the error of mean(a - r b) / b.
  const std::vector<double> won = differences(plain_nll, nll, 1);
  const std::vector<double> lost = differences(plain_nll, reference_nll, 1);
  const double all = mean_of(lost).value;
  const double ratio = mean_of(won).value / all;
  return {(plain - own) / (plain - reference), mean_of(differences(won, lost, ratio)).error / all};
}

}  // namespace nibble
