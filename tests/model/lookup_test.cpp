// Prompt lookup: what is drafted, and that answers are the same with and without it.
#include "runtime/lookup.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nibble/nibble.h"

namespace nibble {
namespace {

std::vector<int32_t> draft(const Lookup& lookup, size_t most = Lookup::kMostRows - 1) {
  std::vector<int32_t> ids(most);
  ids.resize(lookup.draft(ids));
  return ids;
}

void say(Lookup* lookup, const std::vector<int32_t>& ids) {
  for (const int32_t id : ids) lookup->accept(id);
}

using Ids = std::vector<int32_t>;

TEST(LookupTest, WhatFollowedTheLastTimeIsDrafted) {
  Lookup lookup(100);
  say(&lookup, {1, 2, 3});
  EXPECT_EQ(draft(lookup), Ids{});
  say(&lookup, {40, 1, 2, 3});
  EXPECT_EQ(draft(lookup), Ids{40});
  EXPECT_EQ(draft(lookup, 0), Ids{});
  say(&lookup, {60});
  EXPECT_EQ(draft(lookup), Ids{}) << "2 3 60 is new";
  say(&lookup, Ids(20, 61));
  say(&lookup, {1, 2, 3});
  EXPECT_EQ(draft(lookup), Ids{60}) << "the latest counts";
}

TEST(LookupTest, AnEditIsLeftAndMetAgain) {
  Lookup lookup(1000);
  const auto say_run = [&](int32_t from, int32_t to) {
    for (int32_t id = from; id <= to; ++id) lookup.accept(id);
  };
  say_run(1, 60);
  say_run(1, 20);
  EXPECT_EQ(draft(lookup), Ids{21});
  say(&lookup, {70});
  EXPECT_EQ(draft(lookup), Ids{}) << "70 is none of those that follow";
  say(&lookup, {22});
  EXPECT_EQ(draft(lookup), Ids{23}) << "one was exchanged";
  say_run(23, 35);
  say(&lookup, {71, 72, 36});
  EXPECT_EQ(draft(lookup), Ids{37}) << "two were put in";
  say_run(37, 50);
  say(&lookup, {54});
  EXPECT_EQ(draft(lookup), Ids{55}) << "three were left out";
  say(&lookup, Ids(20, 73));
  say(&lookup, {55});
  EXPECT_EQ(draft(lookup), Ids{}) << "lost by now";
}

TEST(LookupTest, DraftsGrowWhileTheyComeTrueAndGoOnInCircles) {
  Lookup lookup(100);
  Ids line(20);
  for (size_t i = 0; i < line.size(); ++i) line[i] = static_cast<int32_t>(i);
  say(&lookup, line);
  say(&lookup, {0, 1, 2});
  for (const size_t length : {1u, 2u, 4u, 7u, 7u}) {
    const Ids got = draft(lookup);
    EXPECT_EQ(got, Ids(line.begin() + 3, line.begin() + 3 + static_cast<std::ptrdiff_t>(length)));
    lookup.judge(length, length);
  }
  lookup.judge(7, 3);
  EXPECT_EQ(draft(lookup).size(), 3u);
  EXPECT_EQ(draft(lookup, 2).size(), 2u);

  Lookup circle(100);
  say(&circle, {7, 8, 9, 7, 8, 9});
  EXPECT_EQ(draft(circle), Ids{7});
  circle.judge(1, 1);
  circle.judge(2, 2);
  EXPECT_EQ(draft(circle), (Ids{7, 8, 9, 7}));
}

TEST(LookupTest, WrongDraftsArePausedTwiceAsLongEachTime) {
  Lookup lookup(1000);
  say(&lookup, Ids(10, 9));
  for (const int pause : {2, 4, 8, 16, 32, 64, 64}) {
    ASSERT_EQ(draft(lookup), Ids{9});
    lookup.judge(1, 0);
    for (int i = 0; i < pause; ++i) {
      EXPECT_EQ(draft(lookup), Ids{}) << pause << ", " << i;
      lookup.accept(9);
    }
  }
  lookup.judge(1, 1);
  lookup.judge(1, 0);
  lookup.accept(9);
  lookup.accept(9);
  EXPECT_EQ(draft(lookup).size(), 1u) << "a right one makes the pause short again";
}

// More trigrams than places: places are shared, and what is read there is checked.
TEST(LookupTest, AFullTableNeverDraftsAfterAnotherTrigram) {
  Lookup lookup(2);
  for (int32_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(draft(lookup), Ids{});
    lookup.accept(i);
  }
}

struct Answer {
  Completion first;
  Completion second;
};

// Two turns, so that what a session keeps of the first is seen too.
Answer answer(bool lookup, GenerateOptions options, SessionOptions session_of) {
  auto engine = Engine::create({.threads = 2, .isa = ""});
  auto model = Model::load(*engine, NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf");
  EXPECT_TRUE(model) << model.error().message;
  auto session = Session::create(*model, session_of);
  EXPECT_TRUE(session) << session.error().message;
  options.lookup = lookup;
  const std::string line = "Tom had a red ball and a blue kite. He liked the red ball best. ";
  Answer out;
  auto first = (*session)->complete(line + "Mia had a red ball and a", options);
  EXPECT_TRUE(first) << first.error().message;
  out.first = *std::move(first);
  if (out.first.reason == StopReason::kContextFull) return out;
  auto second = (*session)->complete(" Tom had a red ball", options);
  EXPECT_TRUE(second) << second.error().message;
  out.second = *std::move(second);
  return out;
}

void expect_same(GenerateOptions options, SessionOptions session = {.context = 512}) {
  const Answer with = answer(true, options, session);
  const Answer without = answer(false, options, session);
  for (const auto& [a, b] :
       {std::pair{&with.first, &without.first}, std::pair{&with.second, &without.second}}) {
    EXPECT_EQ(a->tokens, b->tokens);
    EXPECT_EQ(a->text, b->text);
    EXPECT_EQ(a->reason, b->reason);
    EXPECT_EQ(a->stats.decode_tokens, b->stats.decode_tokens);
    ASSERT_EQ(a->steps.size(), b->steps.size());
    for (size_t i = 0; i < a->steps.size(); ++i) {
      EXPECT_EQ(a->steps[i].logprob, b->steps[i].logprob);
      EXPECT_EQ(a->steps[i].top, b->steps[i].top);
    }
    EXPECT_EQ(b->stats.drafted_tokens, 0);
  }
  const bool drafts = session.batch > 1 && with.first.tokens.size() > 50;
  EXPECT_TRUE(!drafts || with.first.stats.drafted_tokens > 0);
  EXPECT_TRUE(session.batch > 1 || with.first.stats.drafted_tokens == 0);
  EXPECT_LE(with.first.stats.accepted_tokens, with.first.stats.drafted_tokens);
}

GenerateOptions greedy(int64_t tokens) {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = tokens;
  options.ignore_end = true;
  return options;
}

TEST(LookupTest, GreedyAnswersAreTheSame) {
  expect_same(greedy(150));
}

TEST(LookupTest, SampledAnswersAreTheSame) {
  GenerateOptions options = greedy(150);
  options.sampling = {};
  options.sampling.temperature = 0.7f;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    options.sampling.seed = seed;
    expect_same(options);
  }
  options.sampling.repeat_penalty = 1.1f;
  expect_same(options);
}

TEST(LookupTest, LogProbabilitiesAreTheSame) {
  GenerateOptions options = greedy(100);
  options.logprobs = 3;
  expect_same(options);
}

TEST(LookupTest, StopStringsAndLimitsEndAtTheSameToken) {
  GenerateOptions options = greedy(150);
  options.stop = {"."};
  expect_same(options);
  for (const int64_t tokens : {20, 21, 22, 23}) expect_same(greedy(tokens));
}

TEST(LookupTest, AFullContextEndsAtTheSameToken) {
  for (const int64_t context : {120, 121, 122, 123}) {
    expect_same(greedy(-1), {.context = context});
  }
}

// The ring of a sliding window has just the room that a batch needs.
TEST(LookupTest, SmallBatchesAreTheSame) {
  for (const int64_t batch : {1, 2, 5}) {
    expect_same(greedy(400), {.context = 1200, .batch = batch});
  }
}

}  // namespace
}  // namespace nibble
