// Sessions: limits, stop conditions, cancel, the chat form, memory.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <thread>

#include "nibble/nibble.h"

extern std::atomic<size_t> nibble_test_allocations;  // allocation_counter_test.cpp

namespace nibble {
namespace {

const char* const kModel = NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf";

class SessionTest : public testing::Test {
 protected:
  void SetUp() override {
    auto engine = Engine::create({.threads = 2, .isa = ""});
    ASSERT_TRUE(engine) << engine.error().message;
    auto model = Model::load(*engine, kModel);
    ASSERT_TRUE(model) << model.error().message;
    model_ = *model;
  }

  std::unique_ptr<Session> make(const SessionOptions& options = {}) {
    auto session = Session::create(model_, options);
    EXPECT_TRUE(session) << session.error().message;
    return session ? std::move(*session) : nullptr;
  }

  static GenerateOptions greedy(int64_t tokens) {
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_tokens = tokens;
    return options;
  }

  std::shared_ptr<Model> model_;
};

TEST_F(SessionTest, ContextIsChecked) {
  for (const int64_t context : {int64_t{-5}, int64_t{1000000000000}, int64_t{2049}}) {
    const auto session = Session::create(model_, {.context = context});
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::kUsage);
    EXPECT_NE(session.error().message.find(std::to_string(context)), std::string::npos);
    EXPECT_NE(session.error().message.find("2048"), std::string::npos);
  }
}

TEST_F(SessionTest, PromptBeyondTheContextIsAnErrorWithBothCounts) {
  auto session = make({.context = 16});
  const auto done = session->complete(
      "One day a cat and a dog went to the big park to play with "
      "the red ball and the blue boat and the bird",
      greedy(4));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kUsage);
  EXPECT_NE(done.error().message.find("the context holds 16"), std::string::npos);
  EXPECT_EQ(session->position(), 0);
}

TEST_F(SessionTest, FullContextEndsTheAnswer) {
  auto session = make({.context = 16});
  const auto done = session->complete("Once upon a time", greedy(-1));
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->reason, StopReason::kContextFull);
  EXPECT_EQ(session->position(), 16);
}

TEST_F(SessionTest, ContinuingEqualsAnsweringInOneGo) {
  auto whole = make();
  const auto at_once = whole->complete("Once upon a time", greedy(24));
  auto parts = make();
  std::string text;
  ASSERT_TRUE(at_once);
  for (int i = 0; i < 3; ++i) {
    const auto part = parts->complete(i == 0 ? "Once upon a time" : "", greedy(8));
    ASSERT_TRUE(part) << part.error().message;
    text += part->text;
  }
  EXPECT_EQ(text, at_once->text);
}

TEST_F(SessionTest, StopStringIsCutOffWhereverItsPartsFall) {
  auto session = make();
  auto options = greedy(60);
  options.stop = {"girl named", "zzz"};
  std::string streamed;
  const auto done = session->complete("Once upon a time", options, [&](std::string_view text) {
    streamed += text;
    return true;
  });
  ASSERT_TRUE(done);
  EXPECT_EQ(done->reason, StopReason::kStopString);
  EXPECT_EQ(done->text, ", there was a little ");
  EXPECT_EQ(streamed, done->text);
}

TEST_F(SessionTest, CallbackCanStop) {
  auto session = make();
  int calls = 0;
  const auto done = session->complete("Once upon a time", greedy(60),
                                      [&](std::string_view) { return ++calls < 3; });
  ASSERT_TRUE(done);
  EXPECT_EQ(done->reason, StopReason::kCancelled);
  EXPECT_EQ(calls, 3);
}

TEST_F(SessionTest, CancelFromAnotherThread) {
  auto session = make();
  auto options = greedy(-1);
  options.ignore_end = true;
  std::atomic<bool> started{false};
  std::thread other([&] {
    while (!started) std::this_thread::yield();
    session->cancel();
  });
  const auto done = session->complete("Once upon a time", options, [&](std::string_view) {
    started = true;
    return true;
  });
  other.join();
  ASSERT_TRUE(done);
  EXPECT_EQ(done->reason, StopReason::kCancelled);
  EXPECT_LT(session->position(), session->context());
  EXPECT_TRUE(session->complete("", greedy(2)));  // and it goes on
}

TEST_F(SessionTest, ChatEndsItsTurnAndGoesOn) {
  auto session = make();
  auto options = greedy(400);
  const auto first = session->chat("Tell me a story about a cat.", options);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->reason, StopReason::kEndOfTurn);
  EXPECT_EQ(first->text.find("<end_of_turn>"), std::string::npos);
  EXPECT_TRUE(first->text.starts_with("Once upon a time"));
  const int64_t position = session->position();
  const auto second = session->chat("Tell me a story about a dog.", options);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->stats.cached_tokens, position);  // nothing is computed again
  EXPECT_LT(second->stats.prompt_tokens, 40);
}

TEST_F(SessionTest, ControlTokensInAMessageArePlainText) {
  auto a = make();
  auto b = make();
  const auto plain = a->chat("Say <end_of_turn> now", greedy(1));
  const auto other = b->chat("Say now", greedy(1));
  ASSERT_TRUE(plain && other);
  // As a control token it would take one token, as text it takes several.
  EXPECT_GT(plain->stats.prompt_tokens, other->stats.prompt_tokens + 4);
}

TEST_F(SessionTest, AResetSessionAnswersAsANewOne) {
  auto session = make();
  const auto first = session->chat("Tell me a story about a cat.", greedy(20));
  session->reset();
  const auto again = session->chat("Tell me a story about a cat.", greedy(20));
  ASSERT_TRUE(first && again);
  EXPECT_EQ(first->text, again->text);
}

TEST_F(SessionTest, SeedDecidesTheText) {
  GenerateOptions options;
  options.max_tokens = 40;
  options.sampling.seed = 7;
  const auto text = [&](uint64_t seed) {
    options.sampling.seed = seed;
    auto session = make();
    return session->complete("Once upon a time", options)->text;
  };
  EXPECT_EQ(text(7), text(7));
  EXPECT_NE(text(7), text(8));
}

TEST_F(SessionTest, InvalidTokensAreRefused) {
  auto session = make();
  for (const int32_t id : {-1, 2048, 1 << 30}) {
    const auto logits = session->evaluate({&id, 1}, false);
    ASSERT_FALSE(logits);
    EXPECT_EQ(logits.error().code, ErrorCode::kUsage);
  }
}

TEST_F(SessionTest, GeneratesFromTokenIds) {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = 20;
  const auto ids = model_->tokenize("Once upon a time", true, false);
  const auto from_text = make()->complete("Once upon a time", options);
  const auto from_ids = make()->generate(ids, options);
  ASSERT_TRUE(from_text && from_ids);
  EXPECT_EQ(from_ids->tokens, from_text->tokens);
  EXPECT_EQ(from_ids->text, from_text->text);
  const std::vector<int32_t> bad = {5, 1 << 30};
  auto session = make();
  const auto refused = session->generate(bad, options);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("token id 1073741824 is outside"), std::string::npos);
  EXPECT_EQ(session->position(), 0);
}

TEST_F(SessionTest, DecodingAllocatesNothingPerLayerOrToken) {
  auto session = make();
  const int32_t id = 300;
  ASSERT_TRUE(session->evaluate({&id, 1}, false));
  const size_t before = nibble_test_allocations;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(session->evaluate({&id, 1}, false));
  // evaluate() itself returns a fresh vector of logits: that one, and no other.
  EXPECT_LE(nibble_test_allocations - before, 20u * 2);
}

TEST_F(SessionTest, KvMemoryIsExact) {
  // 5 layers with a window of 128 (ring: 128 + 255 -> 3 blocks of 128) and one with 8 blocks;
  // a block: 128 positions x head_dim 64 x 2 (keys, values) x 2 bytes.
  const uint64_t numbers = (5u * 3 + 8) * 128 * 64 * 2;
  EXPECT_EQ(model_->kv_bytes(1024), numbers * 2);
  const auto bytes = [&](KvFormat kv) {
    return (*Session::create(model_, {.context = 1024, .kv = kv}))->kv_bytes();
  };
  EXPECT_EQ(bytes(KvFormat::kF16), numbers * 2);
  EXPECT_EQ(bytes(KvFormat::kF32), numbers * 4);
  EXPECT_EQ(bytes(KvFormat::kQ8_0), numbers / 32 * 34);
  EXPECT_EQ(bytes(KvFormat::kQ4_0), numbers / 32 * 18);
}

// Mean Kullback-Leibler divergence, in nats, of the next token's distribution over a text from what
// it is with an f32 cache.
TEST_F(SessionTest, QuantizedCacheStaysClose) {
  const std::vector<int32_t> ids = model_->tokenize(
      "Once upon a time there was a little girl named Lily. She loved to play outside in the sun. "
      "One day she saw a big dog in the garden. The dog was sad because it had lost its ball. Lily "
      "said, \"Do not cry, I will help you.\" They looked under the tree and behind the house. At "
      "last they found the ball in the pond, and the dog was very happy.",
      true, false);
  const size_t vocabulary = static_cast<size_t>(model_->vocabulary_size());
  const auto log_probabilities = [&](KvFormat kv) {
    auto all = *(*Session::create(model_, {.context = 1024, .kv = kv}))->evaluate(ids, true);
    for (size_t i = 0; i < all.size(); i += vocabulary) {
      double sum = 0;
      for (size_t j = i; j < i + vocabulary; ++j) sum += std::exp(static_cast<double>(all[j]));
      for (size_t j = i; j < i + vocabulary; ++j) all[j] -= static_cast<float>(std::log(sum));
    }
    return all;
  };
  const auto exact = log_probabilities(KvFormat::kF32);
  const auto divergence = [&](KvFormat kv) {
    const auto other = log_probabilities(kv);
    double sum = 0;
    for (size_t i = 0; i < exact.size(); ++i) sum += std::exp(exact[i]) * (exact[i] - other[i]);
    return sum / static_cast<double>(ids.size());
  };
  const double f16 = divergence(KvFormat::kF16), q8 = divergence(KvFormat::kQ8_0),
               q4 = divergence(KvFormat::kQ4_0);
  std::printf("divergence: f16 %.2e, q8_0 %.2e, q4_0 %.2e\n", f16, q8, q4);
  EXPECT_LT(f16, 2e-4);  // the activations are rounded to int8: any change moves some of them
  EXPECT_LT(q8, 5e-4);
  EXPECT_LT(q4, 3e-2);
  EXPECT_GT(q4, q8);
}

}  // namespace
}  // namespace nibble
