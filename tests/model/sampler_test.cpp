#include "runtime/sampler.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace nibble {
namespace {

SamplingOptions plain(float temperature = 1) {
  SamplingOptions options;
  options.temperature = temperature;
  options.top_k = 0;
  options.top_p = 1;
  return options;
}

// Logits of a language model's kind, from the generator under test's own uniform numbers.
std::vector<float> logits_like(size_t size, uint64_t seed) {
  Random random(seed);
  std::vector<float> logits(size);
  for (float& logit : logits) {
    double sum = 0;
    for (int i = 0; i < 4; ++i) sum += random.uniform();
    logit = static_cast<float>((sum - 2) * 6);
  }
  return logits;
}

TEST(Random, PublishedVectors) {
  // xoshiro256** from the state 1, 2, 3, 4, as its authors' C code gives them.
  Random random(std::array<uint64_t, 4>{1, 2, 3, 4});
  for (const uint64_t expected :
       {11520ull, 0ull, 1509978240ull, 1215971899390074240ull, 1216172134540287360ull,
        607988272756665600ull, 16172922978634559625ull, 8476171486693032832ull,
        10595114339597558777ull, 2904607092377533576ull}) {
    EXPECT_EQ(random.next(), expected);
  }
  // The state from SplitMix64(0): e220a8397b1dcdaf, 6e789e6aa1b965f4, 06c45d188009454f ...
  Random seeded(0);
  Random same(std::array<uint64_t, 4>{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f,
                                      0xf88bb8a8724c81ec});
  for (const uint64_t expected :
       {0x99ec5f36cb75f2b4ull, 0xbf6e1f784956452aull, 0x1a5f849d4933e6e0ull}) {
    EXPECT_EQ(seeded.next(), expected);
    EXPECT_EQ(same.next(), expected);
  }
  for (int i = 0; i < 1000; ++i) {
    const double u = random.uniform();
    EXPECT_GE(u, 0);
    EXPECT_LT(u, 1);
  }
}

TEST(Sampler, GreedyTakesTheLowestOfEquals) {
  Sampler sampler(plain(0), 4);
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(argmax(std::vector<float>{-5, -1, -1}), 1);
  EXPECT_EQ(argmax(std::vector<float>{}), 0);
}

TEST(Sampler, TopKOfOneIsGreedyEvenAmongTies) {
  SamplingOptions options = plain();
  options.top_k = 1;
  const std::vector<float> logits = {0, 7, 7, 7};
  Sampler sampler(options, logits.size());
  for (int i = 0; i < 50; ++i) EXPECT_EQ(sampler.sample(logits), 1);
}

// What can be drawn, found by drawing often.
std::vector<int> drawn(const SamplingOptions& options, const std::vector<float>& logits,
                       int draws = 20000) {
  Sampler sampler(options, logits.size());
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) ++counts[static_cast<size_t>(sampler.sample(logits))];
  return counts;
}

std::vector<float> logs(std::vector<float> probabilities) {
  for (float& p : probabilities) p = std::log(p);
  return probabilities;
}

TEST(Sampler, DrawsInProportion) {
  const auto logits = logs({0.1f, 0.4f, 0.2f, 0.3f});
  for (const int top_k : {0, 3}) {  // both paths
    SamplingOptions options = plain();
    options.top_k = top_k;
    const auto counts = drawn(options, logits, 40000);
    const double total = top_k == 0 ? 1.0 : 0.9;
    EXPECT_NEAR(counts[0], top_k == 0 ? 4000 : 0, 300);
    EXPECT_NEAR(counts[1], 40000 * 0.4 / total, 500);
    EXPECT_NEAR(counts[2], 40000 * 0.2 / total, 500);
    EXPECT_NEAR(counts[3], 40000 * 0.3 / total, 500);
  }
  const auto sharp = drawn(plain(0.5f), logits, 40000);  // squares: 1 16 4 9 of 30
  EXPECT_NEAR(sharp[0], 40000 / 30.0, 200);
  EXPECT_NEAR(sharp[1], 40000 * 16 / 30.0, 500);
}

// A set of ids as a number, bit by bit.
uint64_t support(const SamplingOptions& options, const std::vector<float>& logits) {
  const auto counts = drawn(options, logits);
  uint64_t set = 0;
  for (size_t id = 0; id < counts.size(); ++id) set |= uint64_t{counts[id] > 0} << id;
  return set;
}

TEST(Sampler, TopKTopPAndMinPKeepWhatTheyShould) {
  const auto logits = logs({0.1f, 0.4f, 0.2f, 0.3f});
  for (const int top_k : {0, 3, 100}) {
    SamplingOptions options = plain();
    options.top_k = top_k;
    const uint64_t all = top_k == 3 ? 0b1110 : 0b1111;
    EXPECT_EQ(support(options, logits), all);
    options.top_p = 0.65f;
    EXPECT_EQ(support(options, logits), 0b1010u);
    options.top_p = 0.39f;
    EXPECT_EQ(support(options, logits), 0b0010u);
    options.top_p = 0;
    EXPECT_EQ(support(options, logits), 0b0010u);
    // 0.7 of all is 0.4 + 0.3 + a little: of the 0.9 that top-k keeps it is two.
    options.top_p = 0.72f;
    EXPECT_EQ(support(options, logits), top_k == 3 ? 0b1010u : 0b1110u);
    options.top_p = 1;
    options.min_p = 0.6f;  // of the best: 0.24
    EXPECT_EQ(support(options, logits), 0b1010u);
    options.min_p = 1;
    EXPECT_EQ(support(options, logits), 0b0010u);
  }
}

TEST(Sampler, NucleusBreaksTiesByTheLowestId) {
  SamplingOptions options = plain();
  options.top_p = 0.49f;
  const std::vector<float> equal(8, 1.5f);
  for (const int top_k : {0, 7}) {
    options.top_k = top_k;
    EXPECT_EQ(support(options, equal), 0b1111u);
  }
}

// The unsorted nucleus against a plain one: sort everything, add up, cut.
TEST(Sampler, NucleusAsTheSimpleWay) {
  for (const uint64_t seed : {1, 2, 3, 4, 5}) {
    for (const float temperature : {0.05f, 0.7f, 1.0f, 3.0f, 60.0f}) {
      for (const float top_p : {0.1f, 0.5f, 0.95f, 0.9999f}) {
        const auto logits = logits_like(61, seed);
        std::vector<size_t> order(logits.size());
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(),
                         [&](size_t a, size_t b) { return logits[a] > logits[b]; });
        const auto weight = [&](size_t id) {
          return std::exp((double{logits[id]} - logits[order[0]]) / temperature);
        };
        double total = 0;
        for (const size_t id : order) total += weight(id);
        double sum = 0;
        size_t kept = 0;
        while (kept < order.size() && (kept == 0 || sum < top_p * total))
          sum += weight(order[kept++]);

        SamplingOptions options = plain(temperature);
        options.top_p = top_p;
        const auto counts = drawn(options, logits, 3000);
        for (size_t i = kept; i < order.size(); ++i) EXPECT_EQ(counts[order[i]], 0);
        for (size_t i = 0; i < kept; ++i) {
          const bool likely = weight(order[i]) / sum > 0.01;
          EXPECT_TRUE(counts[order[i]] > 0 || !likely);
        }
      }
    }
  }
}

TEST(Sampler, SeedsDecide) {
  const auto logits = logits_like(1000, 9);
  const auto sequence = [&](uint64_t seed) {
    SamplingOptions options;
    options.seed = seed;
    Sampler sampler(options, logits.size());
    std::vector<int32_t> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(sampler.sample(logits));
    return ids;
  };
  EXPECT_EQ(sequence(7), sequence(7));
  EXPECT_NE(sequence(7), sequence(8));
}

TEST(Sampler, Penalties) {
  SamplingOptions options = plain(0);
  options.repeat_penalty = 2;
  Sampler repeat(options, 3);
  repeat.accept(0);
  repeat.accept(2);
  EXPECT_EQ(repeat.sample(std::vector<float>{4, 1, 3}), 0);       // 2, 1, 1.5
  EXPECT_EQ(repeat.sample(std::vector<float>{3, 2, 3}), 1);       // 1.5, 2, 1.5
  EXPECT_EQ(repeat.sample(std::vector<float>{-1, -1.5, -1}), 1);  // -2, -1.5, -2

  options = plain(0);
  options.presence_penalty = 1;
  options.frequency_penalty = 0.5f;
  Sampler counted(options, 2);
  counted.accept(0);
  EXPECT_EQ(counted.sample(std::vector<float>{3.6f, 2}), 0);  // 3.6 - 1 - 0.5
  counted.accept(0);
  EXPECT_EQ(counted.sample(std::vector<float>{3.6f, 2}), 1);  // 3.6 - 1 - 1

  options.penalty_last_n = 2;
  Sampler ring(options, 3);
  for (const int32_t id : {0, 0, 1, 2}) ring.accept(id);
  EXPECT_EQ(ring.sample(std::vector<float>{1, 2.4f, 2.4f}), 0);  // 1, 0.9, 0.9
  ring.accept(-1);                                               // not of the vocabulary
  ring.accept(3);
  EXPECT_EQ(ring.sample(std::vector<float>{1, 2.4f, 2.4f}), 0);
  options.penalty_last_n = 0;
  Sampler none(options, 2);
  none.accept(0);
  EXPECT_EQ(none.sample(std::vector<float>{1, 0.9f}), 0);
}

TEST(Sampler, PenaltyRingCountsRightlyOverTime) {
  SamplingOptions options = plain(0);
  options.frequency_penalty = 1;
  options.penalty_last_n = 5;
  Sampler sampler(options, 4);
  Random random(3);
  std::vector<int32_t> history;
  for (int step = 0; step < 500; ++step) {
    history.push_back(static_cast<int32_t>(random.next() % 4));
    sampler.accept(history.back());
    std::vector<float> logits = {1.5f, 1.25f, 1, 0.75f};
    const int32_t id = sampler.sample(logits);
    for (size_t i = history.size() - std::min<size_t>(5, history.size()); i < history.size(); ++i) {
      logits[static_cast<size_t>(history[i])] -= 1;
    }
    EXPECT_EQ(id, argmax(logits));
  }
}

TEST(Sampler, LogitsStayAndOddOnesAreSafe) {
  const auto logits = logits_like(333, 4);
  const auto before = logits;
  SamplingOptions options;
  options.repeat_penalty = 1.3f;
  Sampler sampler(options, logits.size());
  sampler.accept(5);
  sampler.sample(logits);
  EXPECT_EQ(logits, before);
  const float inf = std::numeric_limits<float>::infinity();
  for (const float odd : {std::nanf(""), -inf, inf, 3e38f, -3e38f}) {
    for (const int top_k : {0, 2}) {
      options.top_k = top_k;
      options.temperature = 1e-30f;
      Sampler careful(options, 5);
      const int32_t id = careful.sample(std::vector<float>{odd, odd, 1, odd, odd});
      EXPECT_GE(id, 0);
      EXPECT_LT(id, 5);
    }
  }
  options.top_k = 64;
  EXPECT_EQ(Sampler(options, 1).sample(std::vector<float>{1}), 0);
}

TEST(LogProbabilities, AgainstTheDefinition) {
  const auto logits = logits_like(5000, 11);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit});
  for (const int32_t id : {0, 17, 4999}) {
    EXPECT_NEAR(log_probability(logits, id), logits[static_cast<size_t>(id)] - std::log(sum),
                1e-12);
  }
  EXPECT_EQ(log_probability(logits, 5000), -std::numeric_limits<double>::infinity());

  std::vector<std::pair<int32_t, float>> top;
  top_log_probabilities(logits, 10, &top);
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  ASSERT_EQ(top.size(), 10u);
  for (size_t i = 0; i < top.size(); ++i) {
    EXPECT_EQ(top[i].first, order[i]);
    EXPECT_EQ(top[i].second, static_cast<float>(log_probability(logits, order[i])));
  }
  top_log_probabilities(std::vector<float>{2, 2, 2}, 99, &top);
  ASSERT_EQ(top.size(), 3u);
  EXPECT_EQ(top[2].first, 2);
  EXPECT_FLOAT_EQ(top[0].second, -std::log(3.0f));
  top_log_probabilities(std::vector<float>{}, 3, &top);
  EXPECT_TRUE(top.empty());
}

std::string problem(void (*change)(SamplingOptions*)) {
  SamplingOptions options;
  change(&options);
  const Result<void> result = validate(options);
  if (result.ok()) return "";
  EXPECT_EQ(result.error().code, ErrorCode::kUsage);
  return result.error().message;
}

TEST(SamplingOptions, AreChecked) {
  using O = SamplingOptions;
  EXPECT_EQ(problem([](O*) {}), "");
  EXPECT_EQ(problem([](O* o) { o->temperature = 0; }), "");
  EXPECT_EQ(problem([](O* o) { o->temperature = NAN; }), "temperature is nan; it must be 0 to 100");
  EXPECT_EQ(problem([](O* o) { o->temperature = -0.5f; }),
            "temperature is -0.5; it must be 0 to 100");
  EXPECT_EQ(problem([](O* o) { o->temperature = INFINITY; }),
            "temperature is inf; it must be 0 to 100");
  EXPECT_EQ(problem([](O* o) { o->top_k = -1; }), "top_k is -1; it must be 0 to 2147483647");
  EXPECT_EQ(problem([](O* o) { o->top_p = 1.5f; }), "top_p is 1.5; it must be 0 to 1");
  EXPECT_EQ(problem([](O* o) { o->min_p = -1; }), "min_p is -1; it must be 0 to 1");
  EXPECT_EQ(problem([](O* o) { o->repeat_penalty = 0; }),
            "repeat_penalty is 0; it must be 0.01 to 100");
  EXPECT_EQ(problem([](O* o) { o->presence_penalty = 101; }),
            "presence_penalty is 101; it must be -100 to 100");
  EXPECT_EQ(problem([](O* o) { o->frequency_penalty = NAN; }),
            "frequency_penalty is nan; it must be -100 to 100");
  EXPECT_EQ(problem([](O* o) { o->penalty_last_n = 1 << 21; }),
            "penalty_last_n is 2097152; it must be 0 to 1048576");
}

// Best of several, in processor time, so that a busy machine does not matter.
[[maybe_unused]] double sample_ms(const SamplingOptions& options,
                                  const std::vector<float>& logits) {
  Sampler sampler(options, logits.size());
  for (int32_t id = 0; id < 64; ++id) sampler.accept(id * 4001);
  double best = 1e9;
  for (int i = 0; i < 20; ++i) {
    timespec start;
    timespec end;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    sampler.sample(logits);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    best = std::min(best, static_cast<double>(end.tv_sec - start.tv_sec) * 1e3 +
                              static_cast<double>(end.tv_nsec - start.tv_nsec) * 1e-6);
  }
  return best;
}

TEST(Sampler, IsQuickOverALargeVocabulary) {
#if defined(NDEBUG) && !defined(NIBBLE_SANITIZED)
  auto logits = logits_like(262'144, 5);
  SamplingOptions options;
  options.repeat_penalty = 1.1f;
  const double top_k = sample_ms(options, logits);
  EXPECT_LT(top_k, 0.2);
  options.top_k = 0;
  const double nucleus = sample_ms(options, logits);
  EXPECT_LT(nucleus, 10);
  options.temperature = 0;
  const double greedy = sample_ms(options, logits);
  EXPECT_LT(greedy, 0.5);
  options.temperature = 1;
  options.top_k = 64;
  std::sort(logits.begin(), logits.end());  // the worst order for a rising threshold
  const double ascending = sample_ms(options, logits);
  EXPECT_LT(ascending, 10);
  std::printf("top-k %.3f ms, top-p alone %.3f, greedy %.3f, ascending top-k %.3f\n", top_k,
              nucleus, greedy, ascending);
#else
  GTEST_SKIP() << "only what ships is timed";
#endif
}

}  // namespace
}  // namespace nibble
