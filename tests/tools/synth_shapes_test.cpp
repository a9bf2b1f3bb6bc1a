// Every shape that nibble synth knows, made small: it loads as its architecture and answers.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "nibble/nibble.h"
#include "tests/tools/program.h"
#include "tools/nibble/synth.h"

namespace nibble::cli {

void PrintTo(const SynthShape& shape, std::ostream* out) {
  *out << shape.name;
}

namespace {

class SmallSynthShapes : public testing::TestWithParam<SynthShape> {};

TEST_P(SmallSynthShapes, LoadsAndDecodes) {
  SynthShape shape = GetParam();
  shape.layers = 2;
  shape.embedding = 96;
  shape.feed_forward = 160;
  shape.vocabulary = 512;
  const tools_test::Folder folder;
  const std::string path = folder.path("m.gguf");
  const auto made = synthesize(shape, {}, path);
  ASSERT_TRUE(made) << made.error().message;
  auto engine = Engine::create({.threads = 1, .isa = ""});
  ASSERT_TRUE(engine);
  const auto model = Model::load(*engine, path);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ((*model)->architecture(), shape.architecture);
  EXPECT_EQ((*model)->vocabulary_size(), 512);
  EXPECT_EQ((*model)->context_length(), shape.context);
  // Names its token of BOS, where texts begin with one, and merges words.
  const auto ids = (*model)->tokenize("ab", true, false);
  EXPECT_EQ((*model)->detokenize({&ids.back(), 1}), "ab");
  SessionOptions small;
  small.context = 64;
  const auto session = Session::create(*model, small);
  ASSERT_TRUE(session) << session.error().message;
  GenerateOptions options;
  options.max_tokens = 2;
  options.ignore_end = true;
  const auto done = (*session)->complete("ab", options);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->tokens.size(), 2u);
}

INSTANTIATE_TEST_SUITE_P(Synth, SmallSynthShapes,
                         testing::ValuesIn(synth_shapes().data(),
                                           synth_shapes().data() + synth_shapes().size()));

}  // namespace
}  // namespace nibble::cli
