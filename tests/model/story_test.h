// Tests of the story model, loaded once for all of them.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "nibble/nibble.h"

namespace nibble {

inline constexpr const char* kStoryModel =
    NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf";

class StoryTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto engine = Engine::create({.threads = 2, .isa = ""});
    ASSERT_TRUE(engine) << engine.error().message;
    auto model = Model::load(*engine, kStoryModel);
    ASSERT_TRUE(model) << model.error().message;
    model_ = *model;
  }
  static void TearDownTestSuite() { model_ = nullptr; }

  static inline std::shared_ptr<Model> model_;
};

}  // namespace nibble
