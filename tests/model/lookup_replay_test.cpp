// How many passes lookup saves, without a model's opinion: texts are replayed as if a model had
// answered with them. Speed follows from what a pass over several tokens takes on a machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/lookup.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

struct Replay {
  size_t tokens = 0;
  size_t passes = 0;
  size_t drafted = 0;
  size_t right = 0;
  double tokens_per_pass() const {
    return static_cast<double>(tokens) / static_cast<double>(passes);
  }
  double wasted_per_token() const {
    return static_cast<double>(drafted - right) / static_cast<double>(tokens);
  }
};

Replay replay(const Ids& prompt, const Ids& answer) {
  Lookup lookup(prompt.size() + answer.size());
  for (const int32_t id : prompt) lookup.accept(id);
  Replay result;
  result.tokens = answer.size();
  for (size_t i = 0; i < answer.size(); ++result.passes) {
    lookup.accept(answer[i++]);
    std::array<int32_t, Lookup::kMostRows - 1> guess{};
    const size_t most = std::min(guess.size(), answer.size() - i);
    const size_t drafted = lookup.draft(std::span(guess).first(most));
    size_t right = 0;
    while (right < drafted && guess[right] == answer[i]) {
      lookup.accept(answer[i++]);
      ++right;
    }
    lookup.judge(drafted, right);
    result.drafted += drafted;
    result.right += right;
  }
  return result;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

class LookupReplayTest : public testing::Test {
 protected:
  void SetUp() override {
    auto engine = Engine::create({.threads = 1, .isa = ""});
    ASSERT_TRUE(engine) << engine.error().message;
    auto model =
        Model::load(*engine, NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf");
    ASSERT_TRUE(model) << model.error().message;
    model_ = *model;
    std::ifstream file(NIBBLE_SOURCE_DIR "/LICENSE");
    std::ostringstream text;
    text << file.rdbuf();
    document_ = text.str().substr(0, 8000);
    ASSERT_EQ(document_.size(), 8000u);
  }

  Ids ids(const std::string& text) const { return model_->tokenize(text, false, false); }
  Replay edit(const std::string& edited) const {
    return replay(ids("Edit this:\n\n" + document_ + "\n\nEdited:\n\n"), ids(edited));
  }

  std::shared_ptr<Model> model_;
  std::string document_;
};

TEST_F(LookupReplayTest, AQuoteIsRepeatedEightTokensAPass) {
  EXPECT_GE(edit(document_).tokens_per_pass(), 7.5);
}

TEST_F(LookupReplayTest, ReplacedWordsStillSavePasses) {
  std::string text = replaced(document_, "Licensor", "Grantor");
  text = replaced(text, "Contribution", "Addition");
  EXPECT_GE(edit(text).tokens_per_pass(), 3.5);
}

// Of every `every` words one is exchanged, one left out and one put in, in turn.
TEST_F(LookupReplayTest, ScatteredEditsStillSavePasses) {
  for (const auto& [every, least] : {std::pair{40, 4.0}, {20, 3.0}, {10, 1.8}}) {
    std::istringstream words(document_);
    std::string text;
    int count = 0;
    for (std::string word; words >> word; ++count) {
      const int kind = count % every == 0 ? count / every % 3 : 3;
      if (kind == 0) word = "other";
      if (kind == 2) word += " very";
      if (kind != 1) text += word + " ";
    }
    std::istringstream again(document_);  // the document with the same spacing
    std::string plain;
    for (std::string word; again >> word;) plain += word + " ";
    const Replay result = replay(ids("Edit this:\n\n" + plain + "\n\nEdited:\n\n"), ids(text));
    EXPECT_GE(result.tokens_per_pass(), least) << every;
  }
}

// What has nothing to do with the prompt: few rows are evaluated for nothing.
TEST_F(LookupReplayTest, FreeTextWastesFewRows) {
  auto session = Session::create(model_, {.context = 1024});
  ASSERT_TRUE(session);
  GenerateOptions options;
  options.max_tokens = 900;
  options.ignore_end = true;
  options.lookup = false;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    options.sampling.seed = seed;
    (*session)->reset();
    const auto story = (*session)->complete("Once upon a time", options);
    ASSERT_TRUE(story);
    const Replay result = replay(ids(document_), story->tokens);
    EXPECT_LE(result.wasted_per_token(), 0.15) << seed;
  }
}

}  // namespace
}  // namespace nibble
