// Answers evaluated together are those of sessions of their own, bit for bit, whoever joins or
// leaves and whatever of their prompts was known before.
#include "nibble/batch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <optional>

#include "nibble/prompt.h"
#include "tests/model/random_model.h"
#include "tests/model/story_test.h"

namespace nibble {
namespace {

std::string own_path() {
  return testing::TempDir() + "nibble-batch-" + std::to_string(getpid()) + ".gguf";
}

struct Question {
  std::vector<int32_t> prompt;
  GenerateOptions options;
};

Completion alone(const std::shared_ptr<Model>& model, const Question& question,
                 int64_t context = 0) {
  auto session = Session::create(model, {.context = context});
  EXPECT_TRUE(session) << session.error().message;
  auto done = (*session)->generate(question.prompt, question.options);
  EXPECT_TRUE(done) << done.error().message;
  return std::move(*done);
}

void expect_same(const Completion& a, const Completion& b) {
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.reason, b.reason);
  ASSERT_EQ(a.steps.size(), b.steps.size());
  for (size_t i = 0; i < a.steps.size(); ++i) {
    ASSERT_EQ(a.steps[i].id, b.steps[i].id);
    ASSERT_EQ(a.steps[i].logprob, b.steps[i].logprob) << "token " << i;
    ASSERT_EQ(a.steps[i].top, b.steps[i].top);
  }
}

class BatchTest : public StoryTest {
 protected:
  static std::unique_ptr<Batch> make(const BatchOptions& options = {}) {
    auto batch = Batch::create(model_, options);
    EXPECT_TRUE(batch) << batch.error().message;
    return batch ? std::move(*batch) : nullptr;
  }

  // Prompts of 5 to 400 tokens (window 128: rings wrap), sampled and greedy.
  static Question question(int number) {
    Question q;
    for (int i = 0; i < 5 + number * 57; ++i) {
      q.prompt.push_back((i * 7919 + number * 31 + 13) % 2000 + 6);
    }
    q.options.sampling.seed = static_cast<uint64_t>(number);
    q.options.sampling.temperature = number % 3 == 0 ? 0.0f : 1.0f;
    if (number % 4 == 3) q.options.sampling.repeat_penalty = 1.3f;
    q.options.max_tokens = 10 + number * 5;
    q.options.ignore_end = true;
    q.options.logprobs = 3;
    return q;
  }
};

TEST_F(BatchTest, AnswersAreThoseOfASessionAloneWhoeverJoinsAndLeaves) {
  auto batch = make({.context = 1024, .sequences = 3, .batch = 64});
  std::map<int, Completion> done;
  int next = 0;
  bool more = true;
  for (int step = 0; more || next < 7; ++step) {
    // One more whenever there is room and every few steps: they meet at all stages.
    if (next < 7 && batch->has_room() && step % 4 == 0) {
      const int number = next++;
      const Question q = question(number);
      ASSERT_TRUE(batch->add(q.prompt, q.options, {}, [&, number](Result<Completion> completion) {
        ASSERT_TRUE(completion) << completion.error().message;
        done[number] = std::move(*completion);
      }));
    }
    more = batch->step();
  }
  ASSERT_EQ(done.size(), 7u);
  for (const auto& [number, completion] : done) {
    SCOPED_TRACE(number);
    expect_same(completion, alone(model_, question(number), 1024));
  }
}

TEST_F(BatchTest, ScreensDoNotDependOnTheCompany) {
  // Without log-probabilities the smallest sufficient part of the logits is made.
  auto batch = make({.sequences = 4});
  std::map<int, Completion> done;
  for (int number = 0; number < 4; ++number) {
    Question q = question(number);
    q.options.logprobs = -1;
    q.options.sampling.top_k = number == 1 ? 0 : 40;
    ASSERT_TRUE(batch->add(q.prompt, q.options, {}, [&, number](Result<Completion> completion) {
      done[number] = std::move(*completion);
    }));
  }
  while (batch->step()) {
  }
  for (const auto& [number, completion] : done) {
    Question q = question(number);
    q.options.logprobs = -1;
    q.options.sampling.top_k = number == 1 ? 0 : 40;
    expect_same(completion, alone(model_, q));
  }
}

TEST_F(BatchTest, WhatPromptsBeginWithIsComputedOnce) {
  auto batch = make({.context = 1024, .sequences = 2});
  Question first = question(6);  // 347 tokens: two whole blocks, the first beyond the window
  Question second = first;
  second.prompt.resize(300);
  for (int i = 0; i < 90; ++i) second.prompt.push_back(7 + i);
  std::vector<Completion> done;
  for (const Question& q : {first, second, first}) {
    ASSERT_TRUE(batch->add(q.prompt, q.options, {}, [&](Result<Completion> completion) {
      done.push_back(std::move(*completion));
    }));
    while (batch->step()) {
    }
  }
  EXPECT_EQ(done[0].stats.cached_tokens, 0);
  EXPECT_EQ(done[1].stats.cached_tokens, 256);
  EXPECT_EQ(done[2].stats.cached_tokens, 256);
  EXPECT_EQ(done[2].stats.prompt_tokens, 347 - 256);
  expect_same(done[0], alone(model_, first));
  expect_same(done[1], alone(model_, second));
  expect_same(done[2], alone(model_, first));

  // A prompt of whole blocks still has its last token evaluated.
  Question whole = first;
  whole.prompt.resize(256);
  ASSERT_TRUE(batch->add(whole.prompt, whole.options, {}, [&](Result<Completion> completion) {
    done.push_back(std::move(*completion));
  }));
  while (batch->step()) {
  }
  EXPECT_EQ(done[3].stats.cached_tokens, 128);
  expect_same(done[3], alone(model_, whole));
}

TEST_F(BatchTest, AnswersAreKnownToTheNextTurn) {
  auto batch = make({.context = 1024, .sequences = 1});
  Question q = question(3);
  q.options.max_tokens = 200;
  std::optional<Completion> done;
  const auto ask = [&] {
    ASSERT_TRUE(batch->add(q.prompt, q.options, {},
                           [&](Result<Completion> completion) { done = std::move(*completion); }));
    while (batch->step()) {
    }
  };
  ask();
  q.prompt.insert(q.prompt.end(), done->tokens.begin(), done->tokens.end());
  ask();
  EXPECT_EQ(done->stats.cached_tokens, 256);  // of 176 + 200
  expect_same(*done, alone(model_, q));
}

TEST_F(BatchTest, PromptsThatAreReadAtTheSameTimeShareTheirBeginning) {
  auto batch = make({.context = 1024, .sequences = 4, .batch = 128});
  const Question q = question(6);
  std::vector<Completion> done;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(batch->add(q.prompt, q.options, {}, [&](Result<Completion> completion) {
      done.push_back(std::move(*completion));
    }));
  }
  while (batch->step()) {
  }
  int64_t evaluated = 0;
  for (const Completion& completion : done) {
    evaluated += completion.stats.prompt_tokens;
    expect_same(completion, done[0]);
  }
  EXPECT_EQ(evaluated, 256 + 4 * (347 - 256));
  expect_same(done[0], alone(model_, q));
}

TEST_F(BatchTest, NothingIsKeptWithoutRoomForIt) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{600'000}}) {
    auto batch = make({.context = 1024, .sequences = 2, .prefix_bytes = bytes});
    const uint64_t before = batch->memory_bytes();
    for (const int number : {6, 5, 6, 4}) {
      const Question q = question(number);
      std::optional<Completion> done;
      ASSERT_TRUE(batch->add(q.prompt, q.options, {}, [&](Result<Completion> completion) {
        done = std::move(*completion);
      }));
      while (batch->step()) {
      }
      expect_same(*done, alone(model_, q));
      EXPECT_LE(batch->memory_bytes(), before + bytes);
    }
  }
}

TEST_F(BatchTest, DecodingGoesOnWhileAPromptIsRead) {
  auto batch = make({.context = 2048, .sequences = 2, .batch = 256});
  Question talker = question(0);
  talker.options.max_tokens = 500;
  int pieces = 0;
  ASSERT_TRUE(batch->add(
      talker.prompt, talker.options,
      [&](const Delta&) {
        ++pieces;
        return true;
      },
      [](Result<Completion>) {}));
  batch->step();
  Question reader = question(1);
  reader.prompt.assign(1600, 77);
  bool answered = false;
  ASSERT_TRUE(batch->add(
      reader.prompt, reader.options,
      [&](const Delta&) {
        answered = true;
        return true;
      },
      [](Result<Completion>) {}));
  const int before = pieces;
  int steps = 0;
  while (!answered && steps < 2000) {
    batch->step();
    ++steps;
  }
  EXPECT_GE(steps, 1600 / 32);  // in slices
  EXPECT_GE(pieces - before, steps / 2);
}

TEST_F(BatchTest, CallbacksAndCancelEndAnswers) {
  auto batch = make({.sequences = 2});
  Question q = question(2);
  q.options.max_tokens = 1000;
  std::map<int, Completion> done;
  int pieces = 0;
  ASSERT_TRUE(batch->add(
      q.prompt, q.options, [&](const Delta&) { return ++pieces < 5; },
      [&](Result<Completion> completion) { done[0] = std::move(*completion); }));
  const auto id = batch->add(q.prompt, q.options, {}, [&](Result<Completion> completion) {
    done[1] = std::move(*completion);
  });
  ASSERT_TRUE(id);
  EXPECT_FALSE(batch->has_room());
  const auto full = batch->add(q.prompt, q.options, {}, {});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::kUnavailable);
  for (int i = 0; i < 20; ++i) batch->step();
  ASSERT_EQ(done.count(0), 1u);
  EXPECT_EQ(done[0].reason, StopReason::kCancelled);
  EXPECT_TRUE(batch->has_room());
  batch->cancel(*id);
  batch->cancel(*id);
  batch->cancel(12345);
  ASSERT_EQ(done.count(1), 1u);
  EXPECT_EQ(done[1].reason, StopReason::kCancelled);
  EXPECT_FALSE(done[1].text.empty());
  EXPECT_FALSE(batch->step());
  EXPECT_EQ(batch->active(), 0);
}

TEST_F(BatchTest, DeltasAreTheTextAndTheSteps) {
  auto batch = make();
  Question q = question(1);
  q.options.stop = {"zzzz", " the"};
  q.options.max_tokens = 300;
  std::string text;
  std::vector<Step> steps;
  std::optional<Completion> done;
  ASSERT_TRUE(batch->add(
      q.prompt, q.options,
      [&](const Delta& delta) {
        text += delta.text;
        steps.insert(steps.end(), delta.steps.begin(), delta.steps.end());
        return true;
      },
      [&](Result<Completion> completion) { done = std::move(*completion); }));
  while (batch->step()) {
  }
  ASSERT_TRUE(done);
  EXPECT_EQ(text, done->text);
  EXPECT_EQ(text.find(" the"), std::string::npos);
  EXPECT_EQ(steps.size(), done->steps.size());
  expect_same(*done, alone(model_, q));
}

TEST_F(BatchTest, EndsOfTheContextAndOfNothing) {
  auto batch = make({.context = 64, .sequences = 2});
  Question q = question(0);
  q.options.max_tokens = 1000;
  std::vector<StopReason> reasons;
  const auto note = [&](Result<Completion> completion) { reasons.push_back(completion->reason); };
  ASSERT_TRUE(batch->add(q.prompt, q.options, {}, note));
  q.options.max_tokens = 0;
  ASSERT_TRUE(batch->add(q.prompt, q.options, {}, note));
  while (batch->step()) {
  }
  EXPECT_EQ(reasons, (std::vector<StopReason>{StopReason::kMaxTokens, StopReason::kContextFull}));
}

TEST_F(BatchTest, WhatCannotBeAnsweredIsRefused) {
  auto batch = make({.context = 64});
  const auto refused = [&](const Question& q) {
    const auto added = batch->add(q.prompt, q.options, {}, {});
    EXPECT_FALSE(added);
    return added ? std::string() : added.error().message;
  };
  Question q = question(0);
  q.prompt = {};
  EXPECT_NE(refused(q).find("empty"), std::string::npos);
  q.prompt.assign(65, 10);
  EXPECT_NE(refused(q).find("65 tokens, the context holds 64"), std::string::npos);
  q.prompt = {10, -1};
  EXPECT_NE(refused(q).find("-1"), std::string::npos);
  q.prompt = {10, 1 << 20};
  EXPECT_NE(refused(q).find("1048576"), std::string::npos);
  q = question(0);
  q.options.sampling.temperature = -1;
  EXPECT_NE(refused(q).find("temperature"), std::string::npos);
  for (const BatchOptions& options :
       {BatchOptions{.context = -1}, BatchOptions{.context = 1 << 30}, BatchOptions{.sequences = 0},
        BatchOptions{.sequences = 65}, BatchOptions{.batch = 0}}) {
    const auto made = Batch::create(model_, options);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::kUsage);
  }
}

TEST_F(BatchTest, AGrammarHoldsOneAnswerAndTouchesNoOther) {
  auto batch = make({.context = 256});
  auto grammar = parse_grammar("root ::= \" \" [a-z]{3,12} (\",\" | \"!\")");
  ASSERT_TRUE(grammar) << grammar.error().message;
  std::optional<Completion> held, free;
  for (const bool is_held : {true, false}) {
    const Question q = question(is_held ? 1 : 2);
    ASSERT_TRUE(batch->add(
        q.prompt, q.options, {},
        [&, is_held](Result<Completion> completion) {
          ASSERT_TRUE(completion) << completion.error().message;
          (is_held ? held : free) = std::move(*completion);
        },
        is_held ? *grammar : nullptr));
  }
  while (batch->step()) {
  }
  ASSERT_TRUE(held && free);
  EXPECT_EQ(held->reason, StopReason::kEndOfTurn);
  ASSERT_GE(held->text.size(), 5u);
  EXPECT_EQ(held->text[0], ' ');
  EXPECT_TRUE(held->text.back() == ',' || held->text.back() == '!') << held->text;
  for (size_t i = 1; i + 1 < held->text.size(); ++i) {
    EXPECT_TRUE(held->text[i] >= 'a' && held->text[i] <= 'z') << held->text;
  }
  expect_same(*free, alone(model_, question(2)));
}

TEST_F(BatchTest, AGrammarThatNoTokenFollowsIsAnError) {
  auto batch = make({.context = 64});
  auto grammar = parse_grammar("root ::= \"a\" []");
  ASSERT_TRUE(grammar) << grammar.error().message;
  std::optional<Error> error;
  const Question q = question(0);
  ASSERT_TRUE(batch->add(
      q.prompt, q.options, {},
      [&](Result<Completion> completion) {
        ASSERT_FALSE(completion);
        error = completion.error();
      },
      *grammar));
  while (batch->step()) {
  }
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kUsage);
}

TEST_F(BatchTest, TextsBecomeVectors) {
  const std::vector<int32_t> cat = model_->tokenize("The cat sat on the mat.", true, false);
  const auto one = embed(model_, cat);
  ASSERT_TRUE(one) << one.error().message;
  double squares = 0;
  for (const float x : *one) squares += static_cast<double>(x) * x;
  EXPECT_NEAR(squares, 1, 1e-5);
  EXPECT_EQ(*embed(model_, cat), *one);
  EXPECT_NE(*embed(model_, model_->tokenize("Tom ran.", true, false)), *one);
  // Longer than a step and than the window.
  EXPECT_TRUE(embed(model_, question(6).prompt));
  EXPECT_FALSE(embed(model_, {}));
  EXPECT_FALSE(embed(model_, std::vector<int32_t>{1 << 20}));
  EXPECT_FALSE(embed(model_, std::vector<int32_t>(4000, 10)));
}

TEST_F(BatchTest, AModelWithoutAChatFormContinuesTheMessages) {
  EditedModel plain = read_model();
  std::erase_if(plain.metadata,
                [](const auto& kv) { return kv.first == "tokenizer.chat_template"; });
  const std::string path = own_path();
  write_model(plain, path);
  auto engine = Engine::create({.threads = 1, .isa = ""});
  ASSERT_TRUE(engine);
  const auto model = Model::load(*engine, path);
  unlink(path.c_str());
  ASSERT_TRUE(model) << model.error().message;
  const std::vector<ChatMessage> messages = {{"system", "One."}, {"user", "Two <eos> three"}};
  const auto ids = encode_chat(**model, messages);
  ASSERT_TRUE(ids) << ids.error().message;
  EXPECT_EQ(*ids, (*model)->tokenize("One.\n\nTwo <eos> three", true, false));
}

// Every kind of rotation, window and cap.
class BatchArchitectureTest : public testing::TestWithParam<RandomModel> {};

TEST_P(BatchArchitectureTest, AnswersAreThoseOfASessionAlone) {
  const std::string path = own_path();
  write_model(random_model(GetParam()), path);
  auto engine = Engine::create({.threads = 2, .isa = ""});
  ASSERT_TRUE(engine);
  auto model = Model::load(*engine, path);
  unlink(path.c_str());
  ASSERT_TRUE(model) << model.error().message;
  auto batch = Batch::create(*model, {.context = 256, .sequences = 3, .batch = 48});
  ASSERT_TRUE(batch) << batch.error().message;
  const std::vector<int32_t> prompt = random_prompt();
  std::map<size_t, Completion> done;
  GenerateOptions options;
  options.max_tokens = 12;
  options.ignore_end = true;
  options.logprobs = 2;
  const size_t sizes[] = {prompt.size(), 7, prompt.size() - 5};
  for (const size_t size : sizes) {
    ASSERT_TRUE((*batch)->add(std::span(prompt).first(size), options, {},
                              [&, size](Result<Completion> completion) {
                                ASSERT_TRUE(completion) << completion.error().message;
                                done[size] = std::move(*completion);
                              }));
    (*batch)->step();
  }
  while ((*batch)->step()) {
  }
  for (const size_t size : sizes) {
    const Question q = {{prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(size)},
                        options};
    expect_same(done[size], alone(*model, q, 256));
  }
}

INSTANTIATE_TEST_SUITE_P(All, BatchArchitectureTest, testing::ValuesIn(random_models()),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace nibble
