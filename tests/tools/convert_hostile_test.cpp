// nibble convert: directories that are not what they should be. Every one is refused with a message
// that says what is wrong and where, and nothing is left behind.
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/tools/hf_model.h"
#include "tests/tools/hf_tokenizer.h"
#include "tests/tools/program.h"

namespace nibble::tools_test {
namespace {

class ConvertHostile : public ::testing::Test {
 protected:
  ConvertHostile() : model_(make_hf_model("llama")) {
    model_.tokenizer = byte_level_tokenizer_json(testing::bpe_tokens({{"he"}, {"<|end|>", 3}}),
                                                 {"h e"}, kQwenPattern);
    model_.tokenizer_config = {{"eos_token", "<|end|>"}};
    write();
  }

  std::string path(const std::string& name) const { return folder_.path(name); }
  void write() { write_hf_model(model_, folder_.path("")); }

  // The directory as it is now; `said` is the whole message, with DIR for its name.
  void refused(int code, const std::string& said, const std::string& arguments = "out.gguf") {
    const Output made = run_nibble("convert " + folder_.path("") + " " + folder_.path(arguments));
    std::string message = made.err;
    for (size_t at; (at = message.find(folder_.path(""))) != std::string::npos;) {
      message.replace(at, folder_.path("").size(), "DIR");
    }
    EXPECT_EQ(made.exit_code, code) << message;
    EXPECT_EQ(message, "nibble: " + said + "\n");
    EXPECT_FALSE(std::filesystem::exists(folder_.path("out.gguf")));
  }
  void refused_with(const std::string& file, const std::string& bytes, const std::string& said) {
    write_text(path(file), bytes);
    refused(65, said);
    write();
  }
  // With another value of config.json.
  void config_refused(const std::string& key, const Json& value, const std::string& said) {
    const Json before = model_.config;
    if (value.is_null()) {
      model_.config.erase(key);
    } else {
      model_.config[key] = value;
    }
    write();
    refused(65, "DIR/config.json: key '" + key + "': " + said);
    model_.config = before;
    write();
  }
  void header_refused(const std::string& header, size_t data_bytes, const std::string& said) {
    const uint64_t length = header.size();
    refused_with("model.safetensors",
                 std::string(reinterpret_cast<const char*>(&length), 8) + header +
                     std::string(data_bytes, '\0'),
                 "DIR/model.safetensors: " + said);
  }

  const Folder folder_;
  HfModel model_;
};

TEST_F(ConvertHostile, MissingFiles) {
  EXPECT_EQ(run_nibble("convert /no/such/folder out.gguf").err,
            "nibble: /no/such/folder: No such directory\n");
  EXPECT_EQ(run_nibble("convert /no/such/folder out.gguf").exit_code, 66);
  EXPECT_EQ(run_nibble("convert " + path("config.json") + " out.gguf").exit_code, 66);
  unlink(path("tokenizer.json").c_str());
  refused(66,
          "DIR/tokenizer.json: is missing; download it with the model (tokenizer.model alone "
          "is not enough)");
  unlink(path("model.safetensors").c_str());
  refused(66,
          "DIR: neither model.safetensors nor model.safetensors.index.json is in it; give the "
          "directory of a model as Hugging Face has it");
  write_text(path("pytorch_model.bin"), "PK");
  refused(66,
          "DIR: neither model.safetensors nor model.safetensors.index.json is in it; it holds "
          "PyTorch weights (pytorch_model.bin), which are programs: download the safetensors "
          "files");
  unlink(path("config.json").c_str());
  refused(66, "DIR/config.json: No such file or directory");
}

TEST_F(ConvertHostile, Options) {
  const std::string command = "convert " + folder_.path("") + " ";
  const Output type = run_nibble(command + path("out.gguf") + " Q9_K");
  EXPECT_EQ(type.exit_code, 64);
  EXPECT_NE(type.err.find("unknown type 'Q9_K'"), std::string::npos) << type.err;
  EXPECT_EQ(run_nibble("convert").exit_code, 64);
  // No file of the model may become the output, by whatever name.
  const std::string weights = read_file(path("model.safetensors"));
  for (const char* name : {"model.safetensors", "tokenizer.json", "link.gguf"}) {
    EXPECT_EQ(symlink("model.safetensors", path("link.gguf").c_str()) == 0 || errno == EEXIST,
              true);
    EXPECT_EQ(run_nibble(command + path(name)).exit_code, 64) << name;
  }
  EXPECT_EQ(read_file(path("model.safetensors")), weights);
  EXPECT_EQ(run_nibble(command + path("none/out.gguf")).exit_code, 73);
}

TEST_F(ConvertHostile, Configuration) {
  config_refused("hidden_size", nullptr, "is missing");
  config_refused("hidden_size", "64", "is '\"64\"', must be a whole number from 1 to 1048576");
  config_refused("num_hidden_layers", 0, "is 0, must be a whole number from 1 to 1024");
  config_refused("num_hidden_layers", -1, "is '-1', must be a whole number from 1 to 1024");
  config_refused("num_key_value_heads", 3,
                 "is 3, which does not divide the 4 heads of num_attention_heads");
  config_refused("rms_norm_eps", 2, "is '2', must be a number from 0 to 1");
  config_refused("hidden_act", "relu", "is 'relu', nibble has silu for this architecture");
  config_refused("partial_rotary_factor", 0.5, "must be 1 for this architecture");
  config_refused("quantization_config", {{"quant_method", "gptq"}},
                 "the weights are quantised already, in a form that nibble does not read; download "
                 "the original model");
  model_.config["rope_scaling"] = {{"type", "yarn"}};
  write();
  refused(65,
          "DIR/config.json: key 'rope_scaling.type': is 'yarn', which nibble does not have for "
          "llama models");
  model_.config["architectures"] = {"MambaForCausalLM"};
  write();
  refused(65,
          "DIR/config.json: architecture 'MambaForCausalLM' is not known; nibble converts "
          "Gemma3ForCausalLM, Gemma3ForConditionalGeneration, LlamaForCausalLM, "
          "MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM");
}

TEST_F(ConvertHostile, Json) {
  refused_with("config.json", "{\"a\": [1,}",
               "DIR/config.json: is not JSON: error at byte 10; the "
               "file is damaged, download it again");
  refused_with("config.json", "[]", "DIR/config.json: is JSON, but not an object");
  refused_with("config.json", "{\"a\": 1e999}",
               "DIR/config.json: holds a number that is out of range");
  refused_with("config.json", "{\"a\": {\"b\": 1, \"b\": 2}}",
               "DIR/config.json: object 'a' has a name twice; the file is damaged or was made to "
               "mislead");
  refused_with("config.json", "{\"a\": " + std::string(100000, '['),
               "DIR/config.json: JSON nested more than 64 deep at byte 69; the file is damaged");
  refused_with("config.json", "{\"a\": \"\xff\"}",
               "DIR/config.json: is not JSON: error at byte 8; the file is damaged, download it "
               "again");
}

TEST_F(ConvertHostile, Tensors) {
  const HfModel before = model_;
  const auto changed = [&](const std::string& said) {
    write();
    refused(65, "DIR: tensor " + said);
    model_ = before;
    write();
  };
  model_.tensors.erase("model.layers.3.mlp.up_proj.weight");
  changed(
      "'model.layers.3.mlp.up_proj.weight': is missing, expected with shape [96, 64]; download "
      "the whole model again");
  model_.tensors["model.norm.weight"].shape = {8, 8};
  changed("'model.norm.weight': has shape [8, 8], expected [64] by config.json");
  add_random("model.layers.7.mlp.up_proj.weight", {96, 64}, 0, 1, &model_.tensors);
  changed(
      "'model.layers.7.mlp.up_proj.weight': is no part of a llama model with 7 layers; is "
      "config.json of another model?");
  model_.tensors["model.norm.weight"].dtype = "I32";
  changed(
      "'model.norm.weight': has type I32; nibble converts F32, F16 and BF16: download the "
      "original model");
  model_.tensors.erase("model.embed_tokens.weight");
  changed("'model.embed_tokens.weight': is missing; the weights are not of a language model");
  model_.tensors["model.norm.weight"].values[3] = INFINITY;
  write();
  refused(65,
          "output_norm.weight: row 0 holds a number that is not finite; the file is damaged, "
          "download it again");
}

TEST_F(ConvertHostile, Safetensors) {
  const std::string bytes = read_file(path("model.safetensors"));
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const std::string size = std::to_string(bytes.size());
  const auto file = [&](const std::string& content, const std::string& said) {
    refused_with("model.safetensors", content, "DIR/model.safetensors: " + said);
  };
  file("", "the file is empty");
  file("1234", "has 4 bytes, not even a header; the file is damaged, download it again");
  file("version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
       "is a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull`");
  file("<!DOCTYPE html>",
       "is not a safetensors file: its header would have 5789751444030890300 "
       "bytes, must be 2 to 100000000");
  file(bytes.substr(0, 100), "its header has " + std::to_string(header) +
                                 " bytes, but the file only 100; the download is incomplete, "
                                 "download it again");
  file(bytes.substr(0, bytes.size() - 1), "needs " + size + " bytes, has " +
                                              std::to_string(bytes.size() - 1) +
                                              "; the download is incomplete, download it again");
  file(bytes + "x", "has 1 bytes behind its last tensor; the file is damaged, download it again");
}

TEST_F(ConvertHostile, SafetensorsHeaders) {
  const auto tensor = [](const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
    return "{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
  };
  const std::string good = tensor("F32", "[2]", "[0,8]");
  const std::string damaged = "; the file is damaged, download it again";
  header_refused("{\"a\":" + good + ",\"a\":" + good + "}", 8,
                 "header: it has a name twice; the file is damaged or was made to mislead");
  header_refused("{\"a\":" + good + ",\"b\":" + tensor("F32", "[2]", "[4,12]") + "}", 12,
                 "tensor 'b': starts at byte 4 inside of 'a'" + damaged);
  header_refused("{\"a\":" + good + ",\"b\":" + tensor("F32", "[2]", "[12,20]") + "}", 20,
                 "tensor 'b': starts at byte 12 after a hole behind 'a'" + damaged);
  header_refused("{\"a\":" + tensor("F32", "[2]", "[4,12]") + "}", 12,
                 "tensor 'a': starts at byte 4 after a hole behind the header" + damaged);
  header_refused("{\"a\":" + tensor("F32", "[4294967296,4294967296]", "[0,0]") + "}", 0,
                 "tensor 'a': shape [4294967296, 4294967296] has more than 2^64 bytes" + damaged);
  header_refused(
      "{\"a\":" + tensor("F32", "[3]", "[0,8]") + "}", 8,
      "tensor 'a': data_offsets [0, 8] do not span the 12 bytes of shape [3] in F32" + damaged);
  header_refused(
      "{\"a\":" + tensor("F32", "[2]", "[8,0]") + "}", 8,
      "tensor 'a': data_offsets [8, 0] do not span the 8 bytes of shape [2] in F32" + damaged);
  header_refused("{\"a\":" + tensor("Q7", "[2]", "[0,8]") + "}", 8,
                 "tensor 'a': type 'Q7' is not known; nibble converts F32, F16 and BF16");
  header_refused("{\"a\":" + tensor("F32", "[-2]", "[0,8]") + "}", 8,
                 "key 'a.shape': holds something else than whole numbers" + damaged);
  header_refused("{\"a\":" + tensor("F32", "[2]", "[0,4,8]") + "}", 8,
                 "key 'a.data_offsets': has 3 numbers" + damaged);
  header_refused("{\"a\":[]}", 8, "tensor 'a': its entry is not an object" + damaged);
  header_refused("{\"a\":{}}", 8, "key 'a.dtype': is missing");
  header_refused("{}", 8, "has 8 bytes behind its last tensor" + damaged);
  header_refused("{\"a\":" + std::string(200, '['), 0,
                 "header: JSON nested more than 64 deep at byte 68; the file is damaged");
}

TEST_F(ConvertHostile, Shards) {
  unlink(path("model.safetensors").c_str());
  write_hf_model(model_, folder_.path(""), 2);
  const std::string index = read_file(path("model.safetensors.index.json"));
  const auto with_index = [&](Json json, int code, const std::string& said) {
    write_text(path("model.safetensors.index.json"), json.dump());
    refused(code, said);
    write_text(path("model.safetensors.index.json"), index);
  };
  Json json = Json::parse(index);
  json["weight_map"]["model.norm.weight"] = "../../etc/x.safetensors";
  with_index(json, 65,
             "DIR/model.safetensors.index.json: tensor 'model.norm.weight' is said to be "
             "in '\"../../etc/x.safetensors\"', which names no safetensors file beside it");
  json["weight_map"]["model.norm.weight"] = "model-9.safetensors";
  with_index(json, 66, "DIR/model-9.safetensors: No such file or directory");
  json = Json::parse(index);
  json["weight_map"]["model.extra.weight"] = "model-0.safetensors";
  with_index(json, 65,
             "DIR/model.safetensors.index.json: tensor 'model.extra.weight' is not in its "
             "shard '\"model-0.safetensors\"'; download all shards of one model again");
  with_index({{"metadata", 1}}, 65,
             "DIR/model.safetensors.index.json: key 'weight_map': is missing");
  std::filesystem::copy_file(path("model-0.safetensors"), path("model-1.safetensors"),
                             std::filesystem::copy_options::overwrite_existing);
  refused(65,
          "DIR/model-1.safetensors: tensor 'lm_head.weight' is in another shard too; download "
          "all shards of one model again");
}

TEST_F(ConvertHostile, Tokenizer) {
  const Json before = model_.tokenizer;
  const auto changed = [&](const std::string& said) {
    write();
    refused(65, "DIR/tokenizer.json: key " + said);
    model_.tokenizer = before;
  };
  model_.tokenizer["model"]["type"] = "Unigram";
  changed("'model.type': is 'Unigram'; nibble converts BPE tokenizers");
  model_.tokenizer["model"]["vocab"]["far"] = kRows;
  changed(
      "'model.vocab': token 'far' has the id '320', must be below the 320 rows of the embedding");
  model_.tokenizer["model"]["vocab"]["far"] = 'a';
  changed("'model.vocab': tokens 'a' and 'far' have the same id 97");
  model_.tokenizer["model"]["vocab"]["far"] = "a";
  changed(
      "'model.vocab': token 'far' has the id '\"a\"', must be below the 320 rows of the "
      "embedding");
  model_.tokenizer["model"]["merges"] = {"h e", "x yz"};
  changed("'model.merges': entry 1 ('\"x yz\"') is not two tokens that make a third");
  model_.tokenizer["model"]["merges"] = {1};
  changed("'model.merges': entry 0 ('1') is not two tokens that make a third");
  model_.tokenizer["model"].erase("merges");
  changed("'model.merges': is missing");
  model_.tokenizer.erase("model");
  changed("'model': is missing");
  model_.tokenizer["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}};
  changed("'pre_tokenizer': cuts words in a way that nibble does not have (ByteLevel)");
  model_.tokenizer.erase("pre_tokenizer");
  changed(
      "'model.byte_fallback': is not true, and there is no ByteLevel pre_tokenizer; nibble "
      "converts these two kinds");
  model_.tokenizer["added_tokens"].push_back({{"id", 999}, {"content", "x"}});
  changed(
      "'model.added_tokens': token 'x' has the id '999', must be below the 320 rows of the "
      "embedding");
  write();
  refused_with("tokenizer_config.json", R"({"bos_token": "<none>"})",
               "DIR/tokenizer_config.json: key 'bos_token': is '<none>', which is no token of "
               "tokenizer.json");
  refused_with("generation_config.json", R"({"eos_token_id": [320]})",
               "DIR/generation_config.json: key 'eos_token_id': holds '320', must be below the 320 "
               "tokens");
}

// Whatever byte of the header is wrong, the answer is a file or an error of the data.
TEST_F(ConvertHostile, EveryByteOfASafetensorsHeader) {
  const std::string bytes = read_file(path("model.safetensors"));
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  std::mt19937 generator(5);
  for (int i = 0; i < 40; ++i) {
    std::string broken = bytes;
    broken[generator() % (8 + header)] = static_cast<char>(generator());
    write_text(path("model.safetensors"), broken);
    const int code = run_nibble("convert " + folder_.path("") + " " + path("o.gguf")).exit_code;
    EXPECT_TRUE(code == 0 || code == 65) << i << ": " << code;
  }
}

}  // namespace
}  // namespace nibble::tools_test
