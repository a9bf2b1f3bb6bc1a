// nibble inspect: what it prints for the built-in model, for scripts and for people.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/tools/program.h"

namespace nibble::tools_test {
namespace {

const std::string kModel = NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf";

TEST(Inspect, JsonIsComplete) {
  const Output output = run_nibble("inspect --json " + kModel);
  ASSERT_EQ(output.exit_code, 0) << output.err;
  const auto json = nlohmann::json::parse(output.out);
  EXPECT_EQ(json["file"], kModel);
  EXPECT_EQ(json["version"], 3);
  EXPECT_EQ(json["file_bytes"], std::filesystem::file_size(kModel));
  EXPECT_EQ(json["alignment"], 32);
  EXPECT_EQ(json["metadata"].size(), 31u);
  EXPECT_EQ(json["metadata"]["general.architecture"]["value"], "gemma3");
  EXPECT_EQ(json["metadata"]["general.architecture"]["type"], "string");
  EXPECT_EQ(json["metadata"]["gemma3.attention.sliding_window"]["value"], 128);
  EXPECT_EQ(json["metadata"]["tokenizer.ggml.add_bos_token"]["value"], true);
  EXPECT_EQ(json["metadata"]["tokenizer.ggml.tokens"]["value"].size(), 2048u);
  EXPECT_EQ(json["metadata"]["tokenizer.ggml.token_type"]["element_type"], "int32");
  ASSERT_EQ(json["tensors"].size(), 80u);
  const auto& first = json["tensors"][0];
  EXPECT_EQ(first["name"], "token_embd.weight");
  EXPECT_EQ(first["type"], "F16");
  EXPECT_EQ(first["shape"], (nlohmann::json{256, 2048}));
  EXPECT_EQ(first["bytes"], 256 * 2048 * 2);
  uint64_t bytes = 0;
  for (const auto& tensor : json["tensors"]) bytes += tensor["bytes"].get<uint64_t>();
  uint64_t by_type = 0;
  for (const auto& type : json["types"]) by_type += type["bytes"].get<uint64_t>();
  EXPECT_EQ(by_type, bytes);
  // Five layers with a window of 128 hold 384 positions (window and batch, in blocks of 128), one
  // all 2048; a position is 2 * 64 numbers of two bytes.
  ASSERT_EQ(json["kv_cache"].size(), 1u);
  EXPECT_EQ(json["kv_cache"][0]["context"], 2048);
  EXPECT_EQ(json["kv_cache"][0]["bytes"], (5 * 384 + 2048) * 2 * 64 * 2);
}

TEST(Inspect, TextLinesUp) {
  const Output plain = run_nibble("inspect " + kModel);
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_EQ(plain.err, "");
  EXPECT_NE(plain.out.find("GGUF version 3, 2.9 MiB, 31 keys, 80 tensors"), std::string::npos);
  EXPECT_NE(plain.out.find("string[2048]   [\"<pad>\", \"<eos>\""), std::string::npos);
  EXPECT_EQ(plain.out.find("blk.0.attn_q.weight"), std::string::npos);
  const Output full = run_nibble("inspect --tensors " + kModel);
  EXPECT_NE(full.out.find("  token_embd.weight                 F16   256 x 2048   1.0 MiB\n"
                          "  output_norm.weight                F32          256   1.0 KiB\n"),
            std::string::npos)
      << full.out;
}

TEST(Inspect, Errors) {
  const Output missing = run_nibble("inspect /no/such/file");
  EXPECT_EQ(missing.exit_code, 66);
  EXPECT_EQ(missing.err, "nibble: /no/such/file: No such file or directory\n");
  EXPECT_EQ(run_nibble("inspect " NIBBLE_SOURCE_DIR "/CMakeLists.txt").exit_code, 65);
  EXPECT_EQ(run_nibble("inspect").exit_code, 64);
  EXPECT_EQ(run_nibble("inspect " + kModel + " --nothing").exit_code, 64);
}

TEST(Inspect, FullOutput) {
  const std::string command = NIBBLE_BINARY_DIR "/nibble inspect " + kModel + " >/dev/full 2>&1";
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 74);
}

}  // namespace
}  // namespace nibble::tools_test
