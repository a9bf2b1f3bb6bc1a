// What is computed of each prediction, and what is told of them all.
//
// Everything is in nats and in double precision. Errors are standard errors of the mean over all
// predictions, as the field gives them. Read next: examinee.h (where the logits come from).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace nibble {

// A number and its standard error.
struct Estimate {
  double value = 0;
  double error = 0;
};

// Mean of `values` and its standard error (0 for fewer than two).
Estimate mean_of(std::span<const double> values);

// One prediction: a row of logits, and the token that came.
struct Prediction {
  double nll = 0;      // -log p(token that came)
  double log_sum = 0;  // log of the sum of e^logit: log p(i) = logit[i] - log_sum
  int32_t top = 0;     // the likeliest token
};
Prediction judge_row(std::span<const float> logits, int32_t next);

// sum of p (log p - log q) over the vocabulary: p from the reference's logits, q from the others.
double kl_divergence(std::span<const float> reference, const Prediction& p,
                     std::span<const float> logits, const Prediction& q);

// e^mean, and its error.
Estimate perplexity_of(std::span<const double> nlls);

// How one model's predictions of a text compare with a reference's, prediction by prediction.
struct Divergence {
  std::vector<double> kl;
  std::vector<double> reference_nll;
  std::vector<double> nll;
  size_t same_top = 0;

  void add(double divergence, const Prediction& reference, const Prediction& own);
};

struct DivergenceSummary {
  Estimate mean;
  double median = 0;
  double p90 = 0;  // nine of ten predictions diverge less
  double p99 = 0;
  double most = 0;
  Estimate same_top;          // share of predictions whose likeliest token is the reference's
  Estimate perplexity_ratio;  // own / reference; the error is that of the paired difference
};
// `divergence` must have at least one prediction.
DivergenceSummary summarise(const Divergence& divergence);

// How much of what a plain rounding loses against a reference another rounding wins back:
// (ppl plain - ppl own) / (ppl plain - ppl reference). Nothing to win back (the plain one is not
// worse than the reference): value and error are NaN. The error takes the differences of
// log-perplexity as paired; all three are of the same predictions.
Estimate won_back(std::span<const double> reference_nll, std::span<const double> plain_nll,
                  std::span<const double> nll);

}  // namespace nibble
