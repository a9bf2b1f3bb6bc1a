// Draft models: answers are the same with and without, whatever the draft model is; what is
// refused.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

#include "nibble/nibble.h"
#include "runtime/draft_policy.h"
#include "runtime/session_impl.h"
#include "tests/model/edited_model.h"

namespace nibble {
namespace {

// One model pass takes a second; a drafted token and a further row take what is said here.
struct Simulated {
  double token_s;
  double row_s;
  double seconds = 0;  // in all
  int64_t tokens = 0;

  // Answers with `count` tokens; is_right(i) tells whether token i would be drafted rightly.
  void answer(DraftPolicy* policy, int64_t count, const std::function<bool(int64_t)>& is_right) {
    for (const int64_t end = tokens + count; tokens < end;) {
      const size_t length = policy->length(7, 0);
      const double rows = static_cast<double>(length);
      if (length > 0) policy->evaluated(length, 0, rows * token_s);
      policy->passed(length + 1, 1 + rows * row_s, length > 0);
      size_t right = 0;
      while (right < length && is_right(tokens + static_cast<int64_t>(right))) ++right;
      if (length > 0) policy->judge(length, right);
      seconds += 1 + rows * (token_s + row_s);
      tokens += static_cast<int64_t>(right) + 1;
    }
  }
  double speed() const { return static_cast<double>(tokens) / seconds; }
};

TEST(DraftPolicyTest, NeverRightCostsAPercentAndFewPasses) {
  for (const double token_s : {0.05, 0.3, 1.0, 5.0}) {
    DraftPolicy policy(0.3);
    Simulated run{token_s, 0.03};
    run.answer(&policy, 200, [](int64_t) { return false; });
    EXPECT_GE(run.seconds, 200);
    EXPECT_LE(run.seconds, 200 * 1.01 + 2 + 2 * token_s) << token_s;
    run.answer(&policy, 2000, [](int64_t) { return false; });
    EXPECT_GE(run.speed(), 0.985) << token_s;
  }
}

TEST(DraftPolicyTest, AlwaysRightIsFast) {
  DraftPolicy policy(0.3);
  Simulated run{0.1, 0.02};
  run.answer(&policy, 500, [](int64_t) { return true; });
  EXPECT_GE(run.speed(), 3);
}

TEST(DraftPolicyTest, ADraftAsSlowAsTheModelIsLeftAlone) {
  DraftPolicy policy(1);
  Simulated run{1.0, 0.1};
  run.answer(&policy, 500, [](int64_t) { return true; });
  EXPECT_GE(run.speed(), 0.98);
}

TEST(DraftPolicyTest, ComesBackWhenDraftsAreRightAgain) {
  DraftPolicy policy(0.1);
  Simulated run{0.1, 0.02};
  run.answer(&policy, 300, [](int64_t) { return false; });
  const double before = run.seconds;
  run.answer(&policy, 300, [](int64_t) { return true; });
  EXPECT_LE(run.seconds - before, 300 / 1.8);
}

class DraftTest : public testing::Test {
 protected:
  void SetUp() override {
    auto engine = Engine::create({.threads = 1, .isa = ""});
    ASSERT_TRUE(engine) << engine.error().message;
    engine_ = *engine;
    model_ = load([](EditedModel* m) { deepen(m, 6); });
    same_ = load([](EditedModel*) {});
  }

  // Adds layers that add nothing to the residual stream: the model says the same, more
  // slowly.
  static void deepen(EditedModel* model, int more) {
    const int layers = 6;
    model->set_uint("gemma3.block_count", layers + static_cast<uint64_t>(more));
    const std::vector<EditedTensor> tensors = model->tensors;
    for (const EditedTensor& t : tensors) {
      if (!t.name.starts_with("blk.0.")) continue;
      EditedTensor copy = t;
      if (t.name.find("attn_output") != t.name.npos || t.name.find("ffn_down") != t.name.npos) {
        std::fill(copy.data.begin(), copy.data.end(), uint8_t{0});
      }
      for (int i = 0; i < more; ++i) {
        copy.name = "blk." + std::to_string(layers + i) + t.name.substr(5);
        model->tensors.push_back(copy);
      }
    }
  }

  std::shared_ptr<Model> load(const std::function<void(EditedModel*)>& edit) {
    EditedModel edited = read_model();
    edit(&edited);
    const std::string path =
        testing::TempDir() + "nibble-draft-" + std::to_string(getpid()) + ".gguf";
    write_model(edited, path);
    auto model = Model::load(engine_, path);
    unlink(path.c_str());
    EXPECT_TRUE(model) << model.error().message;
    return model ? *model : nullptr;
  }

  // A model that is often wrong, and sure of it.
  std::shared_ptr<Model> wrong() {
    return load([](EditedModel* m) {
      m->set_uint("gemma3.block_count", 1);
      std::erase_if(m->tensors, [](const EditedTensor& t) {
        return t.name.starts_with("blk.") && !t.name.starts_with("blk.0.");
      });
    });
  }

  std::unique_ptr<Session> session(SessionOptions options, const std::shared_ptr<Model>& draft) {
    options.draft = draft;
    auto made = Session::create(model_, options);
    EXPECT_TRUE(made) << made.error().message;
    if (!made) return nullptr;
    // Text must not depend on what is worth it on this machine, at this moment.
    if (draft != nullptr) (*made)->impl().draft->policy().always(7);
    return *std::move(made);
  }

  static GenerateOptions greedy(int64_t tokens) {
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_tokens = tokens;
    options.ignore_end = true;
    return options;
  }

  // Three turns with each of the draft models, which are to be as those without.
  void expect_same(const GenerateOptions& options, const SessionOptions& of = {.context = 512}) {
    const auto turns = [&](const std::shared_ptr<Model>& draft, bool lookup) {
      GenerateOptions how = options;
      how.lookup = lookup;
      auto s = session(of, draft);
      std::vector<Completion> all;
      for (const char* prompt : {"Once upon a time", " Then Tom said", " But the cat"}) {
        auto done = s->complete(prompt, how);
        EXPECT_TRUE(done) << done.error().message;
        all.push_back(*std::move(done));
        if (all.back().reason == StopReason::kContextFull) break;
      }
      EXPECT_LE(all[0].stats.model_accepted_tokens, all[0].stats.model_drafted_tokens);
      EXPECT_LE(all[0].stats.model_drafted_tokens, all[0].stats.drafted_tokens);
      return all;
    };
    const auto expected = turns(nullptr, false);
    const std::shared_ptr<Model> wrong_one = wrong();
    for (const auto& [draft, lookup] :
         {std::pair{same_, false}, {same_, true}, {wrong_one, false}, {wrong_one, true}}) {
      const auto got = turns(draft, lookup);
      ASSERT_EQ(got.size(), expected.size());
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(got[i].text, expected[i].text);
        EXPECT_EQ(got[i].tokens, expected[i].tokens);
        EXPECT_EQ(got[i].reason, expected[i].reason);
        EXPECT_EQ(got[i].stats.decode_tokens, expected[i].stats.decode_tokens);
        ASSERT_EQ(got[i].steps.size(), expected[i].steps.size());
        for (size_t k = 0; k < got[i].steps.size(); ++k) {
          EXPECT_EQ(got[i].steps[k].logprob, expected[i].steps[k].logprob);
          EXPECT_EQ(got[i].steps[k].top, expected[i].steps[k].top);
        }
      }
      const Stats& stats = got[0].stats;
      EXPECT_EQ(stats.model_drafted_tokens > 0, of.batch > 1);
      if (draft == same_ && options.sampling.temperature == 0) {
        EXPECT_EQ(stats.model_accepted_tokens > 0, of.batch > 1);
      }
    }
  }

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<Model> model_;
  std::shared_ptr<Model> same_;  // as model_ in all but time
};

TEST_F(DraftTest, GreedyAnswersAreTheSame) {
  expect_same(greedy(120));
}

TEST_F(DraftTest, SampledAnswersAreTheSame) {
  GenerateOptions options = greedy(80);
  options.sampling = {};
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    options.sampling.seed = seed;
    expect_same(options);
  }
  options.sampling.repeat_penalty = 1.1f;
  expect_same(options);
}

TEST_F(DraftTest, LogProbabilitiesAreTheSame) {
  GenerateOptions options = greedy(60);
  options.logprobs = 2;
  expect_same(options);
}

TEST_F(DraftTest, StopStringsAndLimitsEndAtTheSameToken) {
  GenerateOptions options = greedy(120);
  options.stop = {"."};
  expect_same(options);
  for (const int64_t tokens : {9, 10, 11}) expect_same(greedy(tokens));
}

TEST_F(DraftTest, AFullContextEndsAtTheSameToken) {
  for (const int64_t context : {70, 71, 72}) expect_same(greedy(-1), {.context = context});
}

// The rings of the sliding windows wrap, and have just the room that a batch needs.
TEST_F(DraftTest, SmallBatchesAreTheSame) {
  for (const int64_t batch : {1, 2, 5}) expect_same(greedy(150), {.context = 1200, .batch = batch});
}

TEST_F(DraftTest, ASmallerContextOfTheDraftModelEndsDraftingOnly) {
  const auto small = load([](EditedModel* m) { m->set_uint("gemma3.context_length", 64); });
  auto with = session({.context = 512}, small);
  auto without = session({.context = 512}, nullptr);
  for (int turn = 0; turn < 2; ++turn) {
    const auto a = with->complete("Once upon a time", greedy(120));
    const auto b = without->complete("Once upon a time", greedy(120));
    ASSERT_TRUE(a && b);
    EXPECT_EQ(a->text, b->text);
  }
}

TEST_F(DraftTest, ConversationsAreTheSame) {
  auto with = session({}, same_);
  auto without = session({}, nullptr);
  GenerateOptions options;
  options.max_tokens = 60;
  for (int round = 0; round < 2; ++round) {
    for (const char* message : {"Tell me a story about a cat.", "And a dog?", "And a bird?"}) {
      ++options.sampling.seed;
      const auto a = with->chat(message, options);
      const auto b = without->chat(message, options);
      ASSERT_TRUE(a && b);
      EXPECT_EQ(a->text, b->text);
      EXPECT_EQ(a->stats.cached_tokens, b->stats.cached_tokens);
    }
    EXPECT_EQ(with->position(), without->position());
    with->reset();
    without->reset();
  }
}

TEST_F(DraftTest, ACancelledAnswerGoesOnTheSame) {
  auto with = session({}, same_);
  auto without = session({}, nullptr);
  int calls = 0;
  const auto third = [&](std::string_view) { return ++calls % 13 != 0; };
  for (int turn = 0; turn < 3; ++turn) {
    calls = 0;
    const auto a = with->complete("The cat", greedy(60), third);
    calls = 0;
    const auto b = without->complete("The cat", greedy(60), third);
    ASSERT_TRUE(a && b);
    EXPECT_EQ(a->reason, StopReason::kCancelled);
    EXPECT_EQ(a->text, b->text);
  }
  std::atomic<bool> started{false};
  std::thread other([&] {
    while (!started) std::this_thread::yield();
    with->cancel();
  });
  const auto cancelled = with->complete("Once", greedy(-1), [&](std::string_view) {
    started = true;
    return true;
  });
  other.join();
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->reason, StopReason::kCancelled);
  EXPECT_TRUE(with->complete("", greedy(5)));
}

TEST_F(DraftTest, MemoryAndTimeAreCounted) {
  auto with = session({}, same_);
  EXPECT_GT(with->memory_bytes(), session({}, nullptr)->memory_bytes());
  const auto done = with->complete("Once upon a time", greedy(60));
  ASSERT_TRUE(done);
  EXPECT_GT(done->stats.draft_s, 0);
  EXPECT_LE(done->stats.draft_prompt_s, done->stats.draft_s);
  EXPECT_LE(done->stats.draft_s, done->stats.decode_s);
  EXPECT_LT(done->stats.decode_passes, 20);
}

// Too few tokens, or another text for one of them.
TEST_F(DraftTest, AnotherVocabularyIsRefusedWithTheToken) {
  const auto refused = [&](const std::shared_ptr<Model>& draft, const std::string& said) {
    SessionOptions options;
    options.draft = draft;
    const auto made = Session::create(model_, options);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::kUsage);
    EXPECT_NE(made.error().message.find(said), std::string::npos) << made.error().message;
    EXPECT_NE(made.error().message.find("same family"), std::string::npos);
  };
  const auto tokens = [](EditedModel* m) -> std::vector<std::string>& {
    for (auto& [key, value] : m->metadata) {
      if (key == "tokenizer.ggml.tokens") return std::get<GgufArray>(value.data).strings;
    }
    std::abort();
  };
  refused(load([&](EditedModel* m) { tokens(m)[1000] = "somethingelse"; }),
          "token 1000 is another text");
  refused(load([&](EditedModel* m) {
            for (auto& [key, value] : m->metadata) {
              auto* array = std::get_if<GgufArray>(&value.data);
              if (array == nullptr || array->size() != 2048) continue;
              if (!array->strings.empty()) array->strings.resize(1700);
              if (!array->ints.empty()) array->ints.resize(1700);
              if (!array->uints.empty()) array->uints.resize(1700);
              if (!array->floats.empty()) array->floats.resize(1700);
            }
          }),
          "it has 1700 tokens");
}

TEST_F(DraftTest, AnotherEngineIsRefused) {
  auto engine = Engine::create({.threads = 1, .isa = ""});
  auto draft = Model::load(*engine, kModel);
  SessionOptions options;
  options.draft = *draft;
  const auto made = Session::create(model_, options);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kUsage);
  EXPECT_NE(made.error().message.find("engine"), std::string::npos);
}

}  // namespace
}  // namespace nibble
