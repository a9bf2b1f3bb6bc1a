// Merging against the plainest way to do it, on random vocabularies.
#include "runtime/text/merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "tests/text/synthetic.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

TEST(MergeQueue, GivesTheSmallestWhateverTheOrder) {
  std::mt19937 random(5);
  MergeQueue<int> queue;
  for (int round = 0; round < 300; ++round) {
    std::vector<int> expected;
    queue.clear();
    const int range = round % 3 == 0 ? 5 : 100000;
    for (int i = 0; i < 400; ++i) {
      if (random() % 3 > 0) {
        const int item = round % 2 == 0 ? i / 7 : static_cast<int>(random() % range);
        expected.push_back(item);
        queue.push(item);
        continue;
      }
      int item = -1;
      const auto smallest = std::min_element(expected.begin(), expected.end());
      ASSERT_EQ(queue.pop(&item), smallest != expected.end());
      if (smallest == expected.end()) continue;
      ASSERT_EQ(item, *smallest);
      expected.erase(smallest);
    }
  }
}

// The whole text at once, without a queue, without words: the definition.
Ids spm_by_definition(const std::vector<testing::Token>& tokens, const std::string& text) {
  std::map<std::string, int32_t> id_of;
  for (size_t i = testing::kSpmMore; i < tokens.size(); ++i) {
    id_of.emplace(tokens[i].text, static_cast<int32_t>(i));
  }
  std::vector<std::string> parts;
  for (const char c : text) parts.emplace_back(1, c);
  for (;;) {
    size_t best = 0;
    float best_score = -1e30f;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = id_of.find(parts[i] + parts[i + 1]);
      if (found == id_of.end() || tokens[found->second].score <= best_score) continue;
      best = i;
      best_score = tokens[found->second].score;
    }
    if (best_score == -1e30f) break;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
  Ids ids;
  for (const std::string& part : parts) {
    const auto found = id_of.find(part);
    if (found != id_of.end()) {
      ids.push_back(found->second);
      continue;
    }
    for (const char c : part) ids.push_back(testing::kSpmByte + static_cast<uint8_t>(c));
  }
  return ids;
}

TEST(Merge, SpmAsDefined) {
  std::mt19937 random(6);
  const auto random_text = [&](size_t length_max) {
    std::string text;
    for (size_t n = random() % (length_max + 1); n > 0; --n) text += "ab c"[random() % 4];
    return text;
  };
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> texts;
    for (int i = 0; i < 40; ++i) texts.push_back(random_text(5));  // also empty and repeated ones
    auto tokens = testing::spm_tokens(texts);
    for (size_t i = testing::kSpmMore; i < tokens.size(); ++i) {
      tokens[i].score = static_cast<float>(random() % 12);  // many equal
    }
    const auto loaded = testing::load_spm(tokens, testing::special_ids);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    for (int i = 0; i < 50; ++i) {
      const std::string text = random_text(60);
      ASSERT_EQ((*loaded)->encode(text, {.add_bos = false}), spm_by_definition(tokens, text))
          << text;
    }
  }
}

}  // namespace
}  // namespace nibble
