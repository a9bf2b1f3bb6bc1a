// nibble perplexity and compare against what an independent runtime recorded.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/cli/child.h"

namespace nibble::test {
namespace {

using nlohmann::json;

// Half a minute for one thread that has a processor to itself.
constexpr int kLongPatienceMs = 600'000;

std::string shared(const std::string& path) {
  return NIBBLE_SHARED_DATA "/" + path;
}

json records() {
  std::ifstream file(shared("golden/perplexity.json"));
  return json::parse(file);
}

// Of `model`, on the text and chunks of a record; prints it beside the recorded one.
json perplexity(const std::string& name, const std::string& model, const json& record) {
  const int ctx = record["ctx"];
  const Outcome outcome =
      run({"perplexity", model, "--text", shared("text/" + record["text"].get<std::string>()),
           "--ctx", std::to_string(ctx), "--json"},
          {.patience_ms = kLongPatienceMs});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const json ours = json::parse(outcome.out);
  std::printf("%-30s ctx %d: %.4f +- %.4f, recorded %.4f +- %.4f\n", name.c_str(), ctx,
              ours["perplexity"].get<double>(), ours["stderr"].get<double>(),
              record["perplexity"].get<double>(), record["stderr"].get<double>());
  EXPECT_NEAR(ours["stderr"].get<double>() / record["stderr"].get<double>(), 1, 0.02);
  return ours;
}

TEST(RecordedPerplexityTest, EqualsTheRecords) {
  size_t compared = 0;
  for (const json& record : records()) {
    if (record.contains("quantised_by")) continue;  // those files are not there: the next test
    const std::string model = record["model"];
    const json ours = perplexity(model, shared("models/" + model), record);
    const double bound = model.find("q4_0") == std::string::npos ? 5e-4 : 5e-3;
    EXPECT_NEAR(ours["perplexity"].get<double>() / record["perplexity"].get<double>(), 1, bound);
    ++compared;
  }
  EXPECT_GE(compared, 6u);
}

// The same mixes of types by this quantiser, which loses less: within half a per cent of the
// records, or better than they are.
TEST(RecordedPerplexityTest, QuantisedFilesAreNoWorseThanTheRecords) {
  const Folder folder;
  size_t compared = 0;
  for (const json& record : records()) {
    if (!record.contains("quantised_by")) continue;
    const std::string by = record["quantised_by"];  // "llama.cpp 3f545be, Q4_K_M, no ..."
    const size_t type_at = by.find(", ") + 2;
    const std::string type = by.substr(type_at, by.find(',', type_at) - type_at);
    const std::string out = folder.file(type + ".gguf");
    const Outcome made =
        run({"quantize", shared("models/" + record["model"].get<std::string>()), out, type},
            {.patience_ms = kLongPatienceMs});
    ASSERT_EQ(made.code, 0) << made.err;
    const auto bytes = static_cast<double>(std::filesystem::file_size(out));
    EXPECT_NEAR(bytes / record["bytes"].get<double>(), 1, 0.01) << type;
    const json ours = perplexity(type, out, record);
    const double ratio = ours["perplexity"].get<double>() / record["perplexity"].get<double>();
    EXPECT_LT(ratio, 1.005) << type;
    EXPECT_GT(ratio, type == "Q2_K" || type == "Q4_1" ? 0.98 : 0.995) << type;
    ++compared;
  }
  EXPECT_GE(compared, 11u);
}

// The headline of quantisation-aware training: half of the loss, by the records too (50 %).
TEST(RecordedPerplexityTest, TrainingForTheRoundingWinsHalfOfTheLossBack) {
  const Outcome outcome = run(
      {"compare", shared("models/stories-gemma3-f16.gguf"),
       shared("models/stories-gemma3-qat-q4_0.gguf"), shared("models/stories-gemma3-ptq-q4_0.gguf"),
       "--text", shared("text/stories-valid.txt"), "--ctx", "256", "--json"},
      {.patience_ms = kLongPatienceMs});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json rows = json::parse(outcome.out);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_TRUE(rows[0]["won_back"].is_null());
  EXPECT_NEAR(rows[1]["won_back"].get<double>(), 0.5, 0.1);
  EXPECT_TRUE(rows[2]["won_back"].is_null());
  EXPECT_GT(rows[1]["won_back_stderr"].get<double>(), 0);
  EXPECT_LT(rows[1]["kl"]["mean"], rows[2]["kl"]["mean"]);
  EXPECT_GT(rows[1]["kl"]["same_top"], rows[2]["kl"]["same_top"]);
}

}  // namespace
}  // namespace nibble::test
