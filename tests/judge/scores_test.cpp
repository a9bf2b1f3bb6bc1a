// The judge's arithmetic against values worked out by hand.
#include "runtime/judge/scores.h"

#include <gtest/gtest.h>

#include <cmath>

namespace nibble {
namespace {

std::vector<float> logs(const std::vector<double>& probabilities, double shift) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + shift));
  return logits;
}

TEST(Scores, MeanAndItsStandardError) {
  const std::vector<double> values = {1, 2, 3, 6};
  const Estimate mean = mean_of(values);
  EXPECT_DOUBLE_EQ(mean.value, 3);
  // Squares about the mean: 4 + 1 + 0 + 9 = 14; variance of the mean 14 / 4 / 3.
  EXPECT_DOUBLE_EQ(mean.error, std::sqrt(14.0 / 12));
  EXPECT_EQ(mean_of(std::vector<double>{5}).error, 0);
  const Estimate perplexity = perplexity_of(values);
  EXPECT_DOUBLE_EQ(perplexity.value, std::exp(3));
  EXPECT_DOUBLE_EQ(perplexity.error, std::exp(3) * mean.error);
}

TEST(Scores, APredictionIsThatOfTheSoftmax) {
  const Prediction row = judge_row(logs({0.5, 0.2, 0.3}, 4), 2);
  EXPECT_NEAR(row.nll, -std::log(0.3), 1e-6);
  EXPECT_NEAR(row.log_sum, 4, 1e-6);
  EXPECT_EQ(row.top, 0);
}

TEST(Scores, DivergenceOfTwoDistributions) {
  const std::vector<float> p = logs({0.5, 0.25, 0.25}, 1);
  const std::vector<float> q = logs({0.25, 0.25, 0.5}, -7);
  const Prediction of_p = judge_row(p, 0);
  const Prediction of_q = judge_row(q, 0);
  // 0.5 ln 2 + 0 - 0.25 ln 2
  EXPECT_NEAR(kl_divergence(p, of_p, q, of_q), 0.25 * std::log(2), 1e-6);
  EXPECT_EQ(kl_divergence(p, of_p, p, of_p), 0);
}

TEST(Scores, SummaryOfADivergence) {
  Divergence divergence;
  for (int i = 0; i <= 100; ++i) {
    divergence.add(i, {1.0, 0, 7}, {1.5, 0, i < 80 ? 7 : 8});
  }
  const DivergenceSummary summary = summarise(divergence);
  EXPECT_DOUBLE_EQ(summary.mean.value, 50);
  EXPECT_DOUBLE_EQ(summary.median, 50);
  EXPECT_DOUBLE_EQ(summary.p90, 90);
  EXPECT_DOUBLE_EQ(summary.p99, 99);
  EXPECT_DOUBLE_EQ(summary.most, 100);
  const double same = 80.0 / 101;
  EXPECT_DOUBLE_EQ(summary.same_top.value, same);
  EXPECT_DOUBLE_EQ(summary.same_top.error, std::sqrt(same * (1 - same) / 100));
  EXPECT_NEAR(summary.perplexity_ratio.value, std::exp(0.5), 1e-12);
  EXPECT_NEAR(summary.perplexity_ratio.error, 0, 1e-12);  // every difference is the same
}

TEST(Scores, LossWonBack) {
  // Perplexities 2, 3 and 4: half of the loss.
  const std::vector<double> reference(9, std::log(2.0));
  const std::vector<double> own(9, std::log(3.0));
  const std::vector<double> plain(9, std::log(4.0));
  const Estimate half = won_back(reference, plain, own);
  EXPECT_NEAR(half.value, 0.5, 1e-12);
  EXPECT_NEAR(half.error, 0, 1e-9);
  EXPECT_NEAR(won_back(own, plain, reference).value, 2, 1e-12);   // better than the reference
  EXPECT_NEAR(won_back(reference, own, plain).value, -1, 1e-12);  // worse than the plain one
  EXPECT_TRUE(std::isnan(won_back(plain, own, reference).value));
  EXPECT_TRUE(std::isnan(won_back(own, own, reference).value));
  // Noise that is not shared shows in the error.
  std::vector<double> noisy = own;
  for (size_t i = 0; i < noisy.size(); ++i) noisy[i] += i % 2 == 0 ? 0.1 : -0.1;
  EXPECT_GT(won_back(reference, plain, noisy).error, 0.01);
}

}  // namespace
}  // namespace nibble
