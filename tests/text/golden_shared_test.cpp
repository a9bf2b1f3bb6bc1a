// Token ids against recorded ones, on which independent tokenizers agree.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/file/gguf.h"
#include "runtime/text/tokenizer.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

constexpr EncodeOptions kNoBos = {.add_bos = false, .parse_special = true};

std::string shared(const std::string& name) {
  return NIBBLE_SHARED_DATA "/" + name;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::shared_ptr<const Tokenizer> load(const std::string& name) {
  auto file = GgufFile::open(shared("models/" + name));
  if (!file) {
    ADD_FAILURE() << file.error().message;
    return nullptr;
  }
  auto tokenizer = Tokenizer::load(*file);
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().message;
    return nullptr;
  }
  return *tokenizer;
}

struct Case {
  std::string text;
  Ids ids;
};

std::vector<Case> json_cases(const std::string& name) {
  std::vector<Case> cases;
  for (const auto& entry : nlohmann::json::parse(read_file(shared("golden/" + name)))) {
    cases.push_back({entry["text"], entry["ids"].get<Ids>()});
  }
  return cases;
}

// Texts are divided by a line; the ids of each are one line of the other file.
std::vector<Case> line_cases(const std::string& name) {
  const std::string kDivider = "\n__ggml_vocab_test__\n";
  const std::string texts = read_file(shared("golden/" + name + ".inp"));
  std::istringstream lines(read_file(shared("golden/" + name + ".out")));
  std::vector<Case> cases;
  for (size_t at = 0; at < texts.size();) {
    const size_t end = std::min(texts.find(kDivider, at), texts.size());
    std::string line;
    EXPECT_TRUE(std::getline(lines, line)) << name;
    std::istringstream numbers(line);
    cases.push_back({texts.substr(at, end - at), Ids(std::istream_iterator<int32_t>(numbers),
                                                     std::istream_iterator<int32_t>())});
    at = end + kDivider.size();
  }
  std::string rest;
  EXPECT_FALSE(std::getline(lines, rest)) << name;
  return cases;
}

void expect_all(const std::string& model, const std::vector<Case>& cases, size_t count) {
  const auto tokenizer = load(model);
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(cases.size(), count);
  for (const Case& entry : cases) {
    EXPECT_EQ(tokenizer->encode(entry.text, kNoBos), entry.ids) << entry.text;
  }
}

TEST(Golden, Gemma3) {
  expect_all("gemma3-vocab.gguf", json_cases("tokens-gemma3.json"), 42);
}

TEST(Golden, Qwen3) {
  expect_all("qwen3-vocab.gguf", json_cases("tokens-qwen3.json"), 42);
}

TEST(Golden, Gemma4Lines) {
  expect_all("gemma3-vocab.gguf", line_cases("vocab-gemma-4"), 46);
}

TEST(Golden, Qwen2Lines) {
  expect_all("qwen3-vocab.gguf", line_cases("vocab-qwen2"), 46);
}

TEST(Golden, Gpt2Lines) {
  expect_all("ggml-vocab-gpt-2.gguf", line_cases("vocab-gpt-2"), 46);
}

TEST(Golden, LlamaSpmLines) {
  expect_all("ggml-vocab-llama-spm.gguf", line_cases("vocab-llama-spm"), 46);
}

}  // namespace
}  // namespace nibble
