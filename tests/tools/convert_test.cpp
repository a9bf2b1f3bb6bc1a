// nibble convert: models that it made against what the original computes, and the tokenizer,
// template and sampling that it took over. Refusals: convert_hostile_test.cpp.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/file/gguf.h"
#include "runtime/model/architecture.h"
#include "runtime/text/tokenizer.h"
#include "tests/tools/hf_reference.h"
#include "tests/tools/hf_tokenizer.h"
#include "tests/tools/program.h"

namespace nibble::tools_test {
namespace {

// The model with a tokenizer of its family: SentencePiece for Gemma, byte-level for the others.
HfModel complete_model(const std::string& family) {
  HfModel model = make_hf_model(family);
  if (family == "gemma3") {
    model.tokenizer = spm_tokenizer_json(testing::spm_tokens(
        {"he", "ll", "\u2581he", "llo", "\u2581hello", "h", "e", "l", "o", "\u2581"}));
    model.tokenizer_config = {{"bos_token", "<bos>"}, {"eos_token", {{"content", "<eos>"}}}};
  } else {
    model.tokenizer = byte_level_tokenizer_json(
        testing::bpe_tokens({{"he"}, {"ll"}, {"hell"}, {"<|end|>", 3}, {"<think>", 4}}),
        {"h e", "l l", "he ll"}, kQwenPattern);
    model.tokenizer_config = {{"eos_token", "<|end|>"}, {"bos_token", nullptr}};
  }
  return model;
}

Output convert(const Folder& folder, const std::string& arguments = "") {
  return run_nibble("convert " + folder.path("") + " " + folder.path("out.gguf") + " " + arguments);
}

bool runs(const std::string& family) {
  for (const Architecture* known : architectures()) {
    if (known->name == family) return true;
  }
  return false;
}

// The largest difference of logits on a text that leaves Gemma's window.
double largest_difference(const HfModel& model, const std::string& path) {
  const auto engine = Engine::create({});
  const auto loaded = Model::load(*engine, path);
  EXPECT_TRUE(loaded.ok()) << loaded.error().message;
  SessionOptions options;
  options.kv = KvFormat::kF32;
  const auto session = Session::create(*loaded, options);
  std::vector<int32_t> ids(24);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>((i * 37 + 11) % kRows);
  const auto logits = (*session)->evaluate(ids, true);
  EXPECT_TRUE(logits.ok());
  HfReference reference(model);
  double worst = 0;
  for (size_t t = 0; t < ids.size(); ++t) {
    const Vector expected = reference.step(ids[t]);
    for (size_t i = 0; i < kRows; ++i) {
      worst =
          std::max(worst, std::abs(expected[i] - static_cast<double>((*logits)[t * kRows + i])));
    }
  }
  return worst;
}

class ConvertFamily : public ::testing::TestWithParam<const char*> {};

TEST_P(ConvertFamily, ComputesWhatTheOriginalDoes) {
  const HfModel model = complete_model(GetParam());
  const Folder folder;
  write_hf_model(model, folder.path(""));
  const Output made = convert(folder);
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(made.err, "");
  const auto file = GgufFile::open(folder.path("out.gguf"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(*file->get_string("general.architecture"), model.family);
  EXPECT_EQ(*file->get_uint("general.file_type"), 0u);  // F32, as stored
  EXPECT_EQ(file->tensor("output.weight") != nullptr, model.family == "llama");
  if (!runs(model.family)) GTEST_SKIP() << "converted; this build does not run " << model.family;
  EXPECT_LT(largest_difference(model, folder.path("out.gguf")), 2e-4);
}

TEST_P(ConvertFamily, ShardsAndBf16GiveTheSameFile) {
  HfModel model = complete_model(GetParam());
  const Folder whole, shards;
  write_hf_model(model, whole.path(""));
  ASSERT_EQ(convert(whole).exit_code, 0);
  for (auto& [name, tensor] : model.tensors) tensor.dtype = "BF16";
  write_hf_model(model, shards.path(""), 3);
  const Output made = convert(shards, "F32 -t 2");
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const auto a = GgufFile::open(whole.path("out.gguf")),
             b = GgufFile::open(shards.path("out.gguf"));
  ASSERT_TRUE(a.ok() && b.ok());
  ASSERT_EQ(a->tensors().size(), b->tensors().size());
  for (const GgufTensor& tensor : a->tensors()) {
    const GgufTensor& other = *b->tensor(tensor.name);
    ASSERT_EQ(tensor.bytes, other.bytes) << tensor.name;
    EXPECT_EQ(std::memcmp(tensor.data, other.data, tensor.bytes), 0) << tensor.name;
  }
  // As stored: BF16, but vectors F32. The order of rows is the same.
  ASSERT_EQ(convert(shards).exit_code, 0);
  const auto c = GgufFile::open(shards.path("out.gguf"));
  for (const GgufTensor& tensor : c->tensors()) {
    EXPECT_EQ(tensor.type_id, tensor.dims.size() == 1 ? 0u : 30u) << tensor.name;
    const GgufTensor& exact = *a->tensor(tensor.name);
    if (tensor.dims.size() == 1) continue;
    for (uint64_t i = 0; i < tensor.bytes / 2; ++i) {
      ASSERT_EQ(std::memcmp(tensor.data + 2 * i, exact.data + 4 * i + 2, 2), 0) << tensor.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ConvertFamily,
                         ::testing::Values("gemma3", "llama", "qwen2", "qwen3"));

TEST(Convert, QuantisesInOneStep) {
  const Folder folder;
  write_hf_model(complete_model("llama"), folder.path(""));
  ASSERT_EQ(convert(folder, "F32").exit_code, 0);
  const std::string two = folder.path("two.gguf");
  ASSERT_EQ(run_nibble("quantize " + folder.path("out.gguf") + " " + two + " Q8_0").exit_code, 0);
  const Output made = convert(folder, "Q8_0");
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(read_file(folder.path("out.gguf")), read_file(two));
  const Output dry = convert(folder, "Q4_0 --dry-run --json --tensor-type ffn_up=F16");
  ASSERT_EQ(dry.exit_code, 0) << dry.err;
  std::map<std::string, std::string> types;
  const Json plan = Json::parse(dry.out);
  for (const Json& tensor : plan["tensors"]) types[tensor["name"]] = tensor["to"];
  EXPECT_EQ(types["blk.0.ffn_up.weight"], "F16");
  EXPECT_EQ(types["blk.0.attn_q.weight"], "Q4_0");
  EXPECT_EQ(types["blk.0.attn_norm.weight"], "F32");
}

// Gemma's files of several parts: the text's weights and configuration lie deeper, and what sees
// is left out. Newer ones have other names for the same.
TEST(Convert, LeavesOutWhatSees) {
  HfModel plain = complete_model("gemma3");
  for (const std::string prefix : {"language_model.model.", "model.language_model."}) {
    HfModel model = plain;
    model.tensors.clear();
    for (const auto& [name, tensor] : plain.tensors) {
      model.tensors[prefix + name.substr(std::string("model.").size())] = tensor;
    }
    const bool old = prefix.starts_with("language");
    add_random(old ? "vision_tower.patch.weight" : "model.vision_tower.patch.weight", {3, 4}, 0, 1,
               &model.tensors);
    Json text = plain.config;
    text.erase("architectures");
    if (!old) {
      text.erase("rope_theta");
      text.erase("rope_scaling");
      text["rope_parameters"] = {
          {"full_attention", {{"rope_theta", 1000.0}, {"rope_type", "linear"}, {"factor", 8.0}}},
          {"sliding_attention", {{"rope_theta", 10000.0}, {"rope_type", "default"}}}};
    }
    model.config = {{"architectures", {"Gemma3ForConditionalGeneration"}}, {"text_config", text}};
    const Folder folder;
    write_hf_model(model, folder.path(""));
    const Output made = convert(folder);
    ASSERT_EQ(made.exit_code, 0) << made.err;
    EXPECT_EQ(made.err,
              "nibble: note: 1 tensors of the part that sees images are left out: the file is for "
              "text alone\n");
    EXPECT_LT(largest_difference(plain, folder.path("out.gguf")), 2e-4);
  }
}

TEST(Convert, OtherWindows) {
  HfModel model = complete_model("gemma3");
  Json types = Json::array();
  for (size_t i = 0; i < kLayers; ++i) {
    types.push_back(i % 2 == 1 ? "full_attention" : "sliding_attention");
  }
  model.config["layer_types"] = types;
  const Folder folder;
  write_hf_model(model, folder.path(""));
  ASSERT_EQ(convert(folder).exit_code, 0);
  const auto file = GgufFile::open(folder.path("out.gguf"));
  const auto flags = file->get_array("gemma3.attention.sliding_window_pattern");
  ASSERT_TRUE(flags.ok() && *flags != nullptr);
  EXPECT_EQ((*flags)->uints, (std::vector<uint64_t>{1, 0, 1, 0, 1, 0, 1}));
}

std::vector<int32_t> tokens_of(const std::string& path, const std::string& text) {
  const auto file = GgufFile::open(path);
  const auto tokenizer = Tokenizer::load(*file);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  return (*tokenizer)->encode(text, {true, true});
}

TEST(Convert, TokenizersGiveTheSameIds) {
  const Folder folder;
  const std::string out = folder.path("out.gguf");
  write_hf_model(complete_model("gemma3"), folder.path(""));
  ASSERT_EQ(convert(folder).exit_code, 0);
  constexpr int32_t kMore = testing::kSpmMore;
  // BOS by the template; "x" has no token and becomes its byte; "<end_of_turn>" is one.
  EXPECT_EQ(tokens_of(out, "hello hellox<end_of_turn>"),
            (std::vector<int32_t>{2, kMore, kMore + 3, kMore + 4, testing::kSpmByte + 'x', 5}));
  auto file = GgufFile::open(out);
  EXPECT_EQ(*file->get_uint("tokenizer.ggml.unknown_token_id"), 3u);
  EXPECT_EQ(file->get_bool("tokenizer.ggml.add_space_prefix").value(), false);
  EXPECT_EQ((*file->get_array("tokenizer.ggml.tokens"))->strings.back(), "[PAD319]");

  write_hf_model(complete_model("qwen3"), folder.path(""));
  ASSERT_EQ(convert(folder).exit_code, 0);
  EXPECT_EQ(tokens_of(out, "hello<|end|><think>"), (std::vector<int32_t>{258, 'o', 259, 260}));
  file = GgufFile::open(out);
  EXPECT_EQ(*file->get_string("tokenizer.ggml.pre"), "qwen2");
  EXPECT_EQ(*file->get_uint("tokenizer.ggml.eos_token_id"), 259u);
  EXPECT_EQ(file->find("tokenizer.ggml.bos_token_id"), nullptr);
  EXPECT_EQ((*file->get_array("tokenizer.ggml.token_type"))->ints[259], 3);
  EXPECT_EQ((*file->get_array("tokenizer.ggml.token_type"))->ints[260], 4);
}

TEST(Convert, TemplateAndSampling) {
  HfModel model = complete_model("qwen2");
  const Folder folder;
  const auto chat_template = [&] {
    EXPECT_EQ(convert(folder).exit_code, 0);
    const auto file = GgufFile::open(folder.path("out.gguf"));
    return *file->get_string("tokenizer.chat_template", "");
  };
  write_hf_model(model, folder.path(""));
  EXPECT_EQ(chat_template(), "");
  write_text(folder.path("chat_template.json"), R"({"chat_template": "processor"})");
  EXPECT_EQ(chat_template(), "processor");
  model.tokenizer_config["chat_template"] = {{{"name", "tool_use"}, {"template", "tools"}},
                                             {{"name", "default"}, {"template", "several"}}};
  write_hf_model(model, folder.path(""));
  EXPECT_EQ(chat_template(), "several");
  model.tokenizer_config["chat_template"] = "one";
  write_hf_model(model, folder.path(""));
  EXPECT_EQ(chat_template(), "one");
  write_text(folder.path("chat_template.jinja"), "file {{ bos_token }}");
  EXPECT_EQ(chat_template(), "file {{ bos_token }}");

  write_hf_model(complete_model("llama"), folder.path(""));
  write_text(folder.path("generation_config.json"),
             R"({"do_sample": true, "temperature": 0.7, "top_k": 20, "eos_token_id": [259, 260]})");
  ASSERT_EQ(convert(folder).exit_code, 0);
  const auto engine = Engine::create({});
  const auto loaded = Model::load(*engine, folder.path("out.gguf"));
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  const SamplingOptions sampling = recommended_sampling(**loaded);
  EXPECT_EQ(sampling.temperature, 0.7f);
  EXPECT_EQ(sampling.top_k, 20);
  const auto file = GgufFile::open(folder.path("out.gguf"));
  EXPECT_FLOAT_EQ(static_cast<float>(*file->get_float("general.sampling.temp")), 0.7f);
  EXPECT_EQ(*file->get_uint("general.sampling.top_k"), 20u);
  EXPECT_EQ(file->find("general.sampling.top_p"), nullptr);
  EXPECT_EQ(*file->get_uint("tokenizer.ggml.eot_token_id"), 260u);
}

}  // namespace
}  // namespace nibble::tools_test
