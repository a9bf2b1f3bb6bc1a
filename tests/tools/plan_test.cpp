// nibble plan: sizes against published files, and memory against what the program then takes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/tools/program.h"

namespace nibble::tools_test {
namespace {

using nlohmann::json;

constexpr double kMiB = 1 << 20;

json plan(const std::string& arguments) {
  const Output output = run_nibble("plan --json " + arguments);
  EXPECT_EQ(output.exit_code, 0) << output.err;
  return json::parse(output.out, nullptr, /*allow_exceptions=*/false);
}

json model_of(const json& matrix, const std::string& name, const std::string& type) {
  for (const json& model : matrix["models"]) {
    if (model["name"] == name && model["type"] == type) return model;
  }
  ADD_FAILURE() << name << " " << type;
  return {};
}

// Recorded sizes of Google's files; what is not tensors is the header: the vocabulary of 262,144
// tokens with scores and types, and the padding of tensors.
TEST(Plan, SizesAreThoseOfPublishedFiles) {
  const json matrix = plan("");
  for (const auto& [name, file_bytes] :
       {std::pair{"gemma3-1b", 1003541152.0}, {"gemma3-4b", 3155051328.0}}) {
    const double header =
        file_bytes - model_of(matrix, name, "QAT Q4_0")["tensor_bytes"].get<double>();
    EXPECT_GT(header, 5.5 * kMiB) << name;
    EXPECT_LT(header, 7.0 * kMiB) << name;
  }
}

TEST(Plan, TheMatrixHasAllModelsAndTypes) {
  const json matrix = plan("--ram 8G");
  ASSERT_EQ(matrix["models"].size(), 5u * 7u);
  EXPECT_EQ(matrix["limit_bytes"], uint64_t{8} << 30);
  EXPECT_TRUE(model_of(matrix, "gemma3-1b", "F16")["fits"]);
  EXPECT_FALSE(model_of(matrix, "gemma3-27b", "Q4_0")["fits"]);
  EXPECT_FALSE(model_of(matrix, "gemma3-12b", "Q8_0")["fits"]);
  // 12B in 4 bits is what people squeeze into 8 GiB; the windows of 40 of 48 layers make room.
  const json squeezed = model_of(matrix, "gemma3-12b", "Q4_0");
  EXPECT_GT(squeezed["largest_context"], 4096);
  EXPECT_LT(squeezed["largest_context"], 131072);
  const json small = model_of(matrix, "gemma3-270m", "Q8_0");
  EXPECT_EQ(small["largest_context"], 32768);
  EXPECT_EQ(small["contexts"].size(), 2u);  // it was not trained for 131,072
  EXPECT_GT(small["contexts"][0]["decode_tokens_per_s"],
            small["contexts"][1]["decode_tokens_per_s"]);
  EXPECT_EQ(model_of(matrix, "gemma3-1b", "F16")["prompt_tokens_per_s"], nullptr);
}

TEST(Plan, AQuantisedCacheLeavesRoomForMore) {
  const auto largest = [](const std::string& kv) {
    return model_of(plan("gemma3-12b --ram 8G --kv " + kv), "gemma3-12b", "Q4_0")["largest_context"]
        .get<int64_t>();
  };
  EXPECT_GT(largest("q8_0"), 1.8 * static_cast<double>(largest("f16")));
  EXPECT_GT(largest("q4_0"), 1.7 * static_cast<double>(largest("q8_0")));
}

TEST(Plan, TextIsAlignedAndFitsATerminal) {
  const Output output = run_nibble("plan gemma3-1b --ram 2G");
  ASSERT_EQ(output.exit_code, 0) << output.err;
  EXPECT_NE(output.out.find("Q4_K_M"), std::string::npos);
  EXPECT_NE(output.out.find("--ram is 2.0 GiB"), std::string::npos);
  std::istringstream lines(output.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 110u) << line;
}

TEST(Plan, WrongWordsAreRefused) {
  for (const auto& [arguments, code, said] :
       {std::tuple{"gone.gguf", 66, "gone.gguf"},
        {"--ram 8X", 64, "8X"},
        {"--ram 5", 64, "8G"},
        {"--kv q4", 64, "q4"},
        {NIBBLE_SOURCE_DIR "/README.md", 65, "README.md"},
        {NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf --ctx 4096", 64, "2048"}}) {
    const Output output = run_nibble(std::string("plan ") + arguments);
    EXPECT_EQ(output.exit_code, code) << arguments << output.err;
    EXPECT_NE(output.err.find(said), std::string::npos) << output.err;
    EXPECT_EQ(output.out, "");
  }
}

#ifndef NIBBLE_SANITIZED  // sanitizers take memory of their own

// Where the system makes every mapping of huge pages, stacks and heap round up to them.
double slack_above() {
  std::string pages;
  std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled"), pages);
  return pages.find("[always]") != std::string::npos ? 16 * kMiB : 4 * kMiB;
}

// Peak resident memory of a run that fills its context, against the plan: at most 4 MiB above it,
// and not more than 32 MiB below (logits of guesses that were not made, and the estimate of
// vocabulary and program). A screened head's rows come on top where they are read.
void expect_planned(const std::string& model, int context, const std::string& kv, bool screened) {
  const json planned = plan(model + " --kv " + kv + " --ctx " + std::to_string(context));
  const json of_model = planned["models"][0];
  const auto total = of_model["contexts"][0]["total_bytes"].get<double>();
  std::string prompt;
  for (int i = 0; i < context - 8; ++i) prompt += i % 2 == 0 ? "a" : "\n";
  const Folder folder;
  std::ofstream(folder.path("prompt")) << prompt;
  const Output output =
      run_nibble("run -m " + model + " --raw -f " + folder.path("prompt") +
                 " -n 1 --json --temp 0" + " --kv " + kv + " -c " + std::to_string(context));
  ASSERT_EQ(output.exit_code, 0) << output.err;
  const json stats = json::parse(output.out)["stats"];
  ASSERT_GT(stats["prompt_tokens"], context / 2);
  const auto peak = stats["peak_memory_bytes"].get<double>();
  const double rows = screened ? of_model["on_demand_bytes"].get<double>() : 0;
  EXPECT_LT(peak, total + rows + slack_above()) << model;
  EXPECT_GT(peak, total - 32 * kMiB) << model;
}

TEST(Plan, TheStoryModelTakesWhatIsPlanned) {
  expect_planned(NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf", 2048, "f16",
                 false);
}

TEST(Plan, A270MModelTakesWhatIsPlanned) {
  const Folder folder;
  const std::string model = folder.path("m.gguf");
  for (const char* head : {"q8_0", "f16"}) {
    ASSERT_EQ(run_nibble("synth gemma3-270m --head " + std::string(head) + " " + model).exit_code,
              0);
    expect_planned(model, 1024, "f16", std::string(head) == "f16");
    expect_planned(model, 1024, "q8_0", std::string(head) == "f16");
  }
}

#endif

}  // namespace
}  // namespace nibble::tools_test
