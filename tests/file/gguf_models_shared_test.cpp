// Real files: what is known of each.
#include <gtest/gtest.h>

#include "runtime/file/gguf.h"

namespace nibble {
namespace {

struct Known {
  const char* name;
  size_t keys, tensors, tokens;
  const char* architecture;
};

class GgufModels : public testing::TestWithParam<Known> {};

TEST_P(GgufModels, Open) {
  const Known& known = GetParam();
  const auto opened =
      GgufFile::open(std::string(NIBBLE_SHARED_DATA "/models/") + known.name + ".gguf");
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->version(), 3u);
  EXPECT_EQ(opened->metadata().size(), known.keys);
  EXPECT_EQ(opened->tensors().size(), known.tensors);
  EXPECT_EQ(*opened->get_string("general.architecture"), known.architecture);
  EXPECT_EQ((*opened->get_array("tokenizer.ggml.tokens"))->strings.size(), known.tokens);
  uint64_t end = 0;
  for (const GgufTensor& tensor : opened->tensors()) {
    EXPECT_TRUE(supported_format(tensor).ok());
    end = std::max(end, tensor.offset + tensor.bytes);
  }
  if (known.tensors > 0) {
    EXPECT_EQ((end + 31) / 32 * 32, opened->file_bytes());
  }
}

INSTANTIATE_TEST_SUITE_P(Shared, GgufModels,
                         testing::Values(Known{"stories-gemma3-qat-q4_0", 31, 80, 2048, "gemma3"},
                                         Known{"stories-gemma3-f16", 31, 80, 2048, "gemma3"},
                                         Known{"stories260K-f32", 22, 47, 512, "llama"},
                                         Known{"gemma3-vocab", 14, 0, 262144, "gemma3"},
                                         Known{"qwen3-vocab", 8, 0, 151669, "qwen3"},
                                         Known{"ggml-vocab-gpt-2", 16, 0, 50257, "gpt2"},
                                         Known{"ggml-vocab-llama-spm", 22, 0, 32000, "llama"}));

}  // namespace
}  // namespace nibble
