// nibble convert: the vocabularies of real models, written as tokenizer.json and converted back,
// give the ids that they gave before, on whole books.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/file/gguf.h"
#include "runtime/text/tokenizer.h"
#include "tests/tools/hf_model.h"
#include "tests/tools/hf_tokenizer.h"
#include "tests/tools/program.h"

namespace nibble::tools_test {
namespace {

std::vector<testing::Token> tokens_of(const GgufFile& file) {
  const auto texts = *file.get_array("tokenizer.ggml.tokens");
  const auto types = *file.get_array("tokenizer.ggml.token_type");
  const auto scores = *file.get_array("tokenizer.ggml.scores");
  std::vector<testing::Token> tokens;
  for (size_t i = 0; i < texts->size(); ++i) {
    const float score = scores == nullptr ? 0 : static_cast<float>(scores->floats[i]);
    tokens.push_back({texts->strings[i], static_cast<int32_t>(types->ints[i]), score});
  }
  return tokens;
}

// The smallest model with this vocabulary around it.
HfModel model_around(const std::string& family, size_t vocabulary) {
  HfModel model;
  model.config = hf_config(family);
  for (const char* key : {"hidden_size", "intermediate_size", "head_dim"}) model.config[key] = 4;
  for (const char* key : {"num_hidden_layers", "num_attention_heads", "num_key_value_heads"}) {
    model.config[key] = 1;
  }
  model.config["query_pre_attn_scalar"] = 4;
  const auto add = [&](const std::string& name, const std::vector<uint64_t>& shape) {
    add_random(name, shape, 0, 1, &model.tensors);
  };
  add("model.embed_tokens.weight", {vocabulary, 4});
  add("model.norm.weight", {4});
  const std::string layer = "model.layers.0.";
  for (const char* norm :
       {"input_layernorm", "post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm"}) {
    add(layer + norm + ".weight", {4});
  }
  if (family == "gemma3") {
    add(layer + "pre_feedforward_layernorm.weight", {4});
    add(layer + "post_feedforward_layernorm.weight", {4});
  }
  for (const char* matrix : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                             "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
    add(layer + matrix + ".weight", {4, 4});
  }
  return model;
}

void expect_same_ids(const std::string& original_path, const HfModel& model) {
  const Folder folder;
  write_hf_model(model, folder.path(""));
  const Output made =
      run_nibble("convert " + folder.path("") + " " + folder.path("out.gguf") + " BF16");
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(made.err, "");
  const auto before = GgufFile::open(original_path),
             after = GgufFile::open(folder.path("out.gguf"));
  ASSERT_TRUE(after.ok()) << after.error().message;
  const auto original = Tokenizer::load(*before), converted = Tokenizer::load(*after);
  ASSERT_TRUE(original.ok() && converted.ok());
  const std::string shared = NIBBLE_SHARED_DATA;
  std::vector<std::string> texts = {read_file(shared + "/text/wiki.test.raw"),
                                    read_file(shared + "/text/stories-valid.txt")};
  for (const char* golden : {"tokens-gemma3.json", "tokens-qwen3.json"}) {
    texts.push_back(read_file(shared + "/golden/" + golden));  // JSON, and the texts in it
    for (const Json& entry : Json::parse(texts.back())) {
      if (entry.contains("text")) texts.push_back(entry["text"]);
    }
  }
  EXPECT_GT(texts.size(), 20u);
  for (const std::string& text : texts) {
    for (const bool special : {false, true}) {
      ASSERT_TRUE((*original)->encode(text, {false, special}) ==
                  (*converted)->encode(text, {false, special}))
          << text.substr(0, 200);
    }
  }
}

TEST(ConvertTokenizer, Gemma3) {
  const std::string path = NIBBLE_SHARED_DATA "/models/gemma3-vocab.gguf";
  const auto tokens = tokens_of(*GgufFile::open(path));
  HfModel model = model_around("gemma3", tokens.size());
  model.tokenizer = spm_tokenizer_json(tokens);
  model.tokenizer_config = {{"bos_token", "<bos>"}, {"eos_token", "<eos>"}};
  expect_same_ids(path, model);
}

TEST(ConvertTokenizer, Qwen3) {
  const std::string path = NIBBLE_SHARED_DATA "/models/qwen3-vocab.gguf";
  const auto file = GgufFile::open(path);
  const auto tokens = tokens_of(*file);
  HfModel model = model_around("qwen3", tokens.size() + 267);  // as many rows as the model has
  model.tokenizer = byte_level_tokenizer_json(
      tokens, (*file->get_array("tokenizer.ggml.merges"))->strings, kQwenPattern);
  model.tokenizer_config = {{"eos_token", "<|im_end|>"}};
  expect_same_ids(path, model);
}

}  // namespace
}  // namespace nibble::tools_test
