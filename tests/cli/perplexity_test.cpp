// nibble perplexity and compare: against the definition worked out by hand, their JSON, saved
// predictions, and what is refused.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "nibble/nibble.h"
#include "runtime/sampler.h"
#include "tests/cli/child.h"

namespace nibble::test {
namespace {

using nlohmann::json;

constexpr size_t kCtx = 48;

// Stories that the model can predict.
std::string stories() {
  std::ifstream file(NIBBLE_SOURCE_DIR "/tests/golden/stories-gemma3-qat-q4_0.json");
  std::string text;
  for (const auto& run : json::parse(file)) {
    text += run["prompt"].get<std::string>() + run["text"].get<std::string>() + "\n\n";
  }
  return text;
}

std::string write_text(const Folder& folder, const std::string& name, const std::string& text) {
  std::ofstream(folder.file(name), std::ios::binary) << text;
  return folder.file(name);
}

std::vector<std::string> judge(const std::string& command, const std::vector<std::string>& more) {
  std::vector<std::string> all = {command};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

json parsed(const Outcome& outcome) {
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return json::parse(outcome.out, nullptr, /*allow_exceptions=*/false);
}

// Every prediction of the text: the logits of the whole chunk at once.
struct ByHand {
  std::vector<double> nlls;
  std::vector<std::vector<float>> logits;
  size_t chunks = 0;

  double perplexity() const {
    double sum = 0;
    for (const double nll : nlls) sum += nll;
    return std::exp(sum / static_cast<double>(nlls.size()));
  }
};

ByHand by_hand(const std::string& text, KvFormat kv) {
  ByHand result;
  auto model = Model::load(*Engine::create({.threads = 1, .isa = ""}), kModel);
  auto session = Session::create(*model, {.context = kCtx, .kv = kv});
  const std::vector<int32_t> ids = (*model)->tokenize(text, true, false);
  const auto vocabulary = static_cast<size_t>((*model)->vocabulary_size());
  for (size_t start = 0; start + kCtx <= ids.size(); start += kCtx, ++result.chunks) {
    std::vector<int32_t> chunk = {ids[0]};
    for (size_t i = 1; i < kCtx; ++i) chunk.push_back(ids[start + i]);
    (*session)->reset();
    const auto logits = (*session)->evaluate(chunk, true);
    for (size_t i = kCtx / 2; i + 1 < kCtx; ++i) {
      const float* row = logits->data() + i * vocabulary;
      result.logits.emplace_back(row, row + vocabulary);
      result.nlls.push_back(-log_probability({row, vocabulary}, chunk[i + 1]));
    }
  }
  return result;
}

double mean_divergence(const ByHand& p, const ByHand& q) {
  const auto log_sum = [](const std::vector<float>& row) {
    return row[0] - log_probability(row, 0);
  };
  double sum = 0;
  for (size_t row = 0; row < p.logits.size(); ++row) {
    const double p_sum = log_sum(p.logits[row]);
    const double q_sum = log_sum(q.logits[row]);
    for (size_t i = 0; i < p.logits[row].size(); ++i) {
      const double log_p = p.logits[row][i] - p_sum;
      sum += std::exp(log_p) * (log_p - (q.logits[row][i] - q_sum));
    }
  }
  return sum / static_cast<double>(p.logits.size());
}

TEST(Perplexity, IsTheDefinitions) {
  const Folder folder;
  const std::string text = write_text(folder, "text", stories());
  const ByHand wanted = by_hand(stories(), KvFormat::kF16);
  ASSERT_GE(wanted.chunks, 4u);
  const json all = parsed(run({"perplexity", kModel, "--text", text, "--ctx", "48", "--json"}));
  EXPECT_NEAR(all["perplexity"].get<double>() / wanted.perplexity(), 1, 1e-6);
  EXPECT_EQ(all["tokens"], wanted.nlls.size());
  EXPECT_EQ(all["chunks"], wanted.chunks);
  EXPECT_EQ(all["ctx"], 48);
  EXPECT_GT(all["tokens_per_s"].get<double>(), 0);
  double squares = 0;
  for (const double nll : wanted.nlls) squares += std::pow(nll - std::log(wanted.perplexity()), 2);
  const auto count = static_cast<double>(wanted.nlls.size());
  EXPECT_NEAR(all["stderr"].get<double>(),
              wanted.perplexity() * std::sqrt(squares / count / (count - 1)), 1e-6);
  const json two =
      parsed(run({"perplexity", kModel, "--text", text, "--ctx", "48", "--chunks", "2", "--json"}));
  EXPECT_EQ(two["chunks"], 2);
  // The same at any number of threads and any batch, and from a pipe.
  const json piped = parsed(
      run({"perplexity", kModel, "--text", "-", "--ctx", "48", "--json", "-t", "2", "--batch", "5"},
          {.input = stories()}));
  EXPECT_EQ(piped["perplexity"], all["perplexity"]);
  const Outcome table = run({"perplexity", kModel, "--text", text, "--ctx", "48"});
  char shown[32];
  std::snprintf(shown, sizeof(shown), "%.4f", wanted.perplexity());
  EXPECT_NE(table.out.find(shown), std::string::npos) << table.out;
}

TEST(Perplexity, SavedPredictionsGiveTheDivergence) {
  const Folder folder;
  const std::string text = write_text(folder, "text", stories());
  const std::string saved = folder.file("saved.kl");
  const json base = parsed(
      run({"perplexity", kModel, "--text", text, "--ctx", "48", "--kl-base", saved, "--json"}));
  // With itself.
  const json same = parsed(run({"perplexity", kModel, "--kl", saved, "--json"}));
  EXPECT_EQ(same["perplexity"], base["perplexity"]);
  EXPECT_NEAR(same["reference_perplexity"].get<double>(), base["perplexity"].get<double>(), 1e-5);
  EXPECT_LT(same["kl"]["mean"].get<double>(), 1e-6);
  EXPECT_EQ(same["kl"]["same_top"], 1);
  EXPECT_NEAR(same["kl"]["perplexity_ratio"].get<double>(), 1, 1e-6);
  // With other predictions: those of a rounded cache.
  const json other = parsed(run({"perplexity", kModel, "--kl", saved, "--kv", "q4_0", "--json"}));
  const ByHand p = by_hand(stories(), KvFormat::kF16);
  const ByHand q = by_hand(stories(), KvFormat::kQ4_0);
  const json& kl = other["kl"];
  EXPECT_NEAR(other["perplexity"].get<double>() / q.perplexity(), 1, 1e-6);
  EXPECT_GT(kl["mean"].get<double>(), 1e-4);
  EXPECT_NEAR(kl["mean"].get<double>(), mean_divergence(p, q), 1e-5);
  EXPECT_NEAR(kl["perplexity_ratio"].get<double>(), q.perplexity() / p.perplexity(), 1e-6);
  EXPECT_LE(kl["median"], kl["p90"]);
  EXPECT_LE(kl["p90"], kl["p99"]);
  EXPECT_LE(kl["p99"], kl["max"]);
  for (const char* key : {"mean_stderr", "same_top_stderr", "perplexity_ratio_stderr"}) {
    EXPECT_TRUE(kl[key].is_number()) << key;
  }
  const Outcome table = run({"perplexity", kModel, "--kl", saved, "--kv", "q4_0"});
  for (const char* line : {"ratio", "KL divergence, mean", "99 %", "same likeliest token"}) {
    EXPECT_NE(table.out.find(line), std::string::npos) << table.out;
  }
  EXPECT_EQ(parsed(run({"perplexity", kModel, "--kl", saved, "--chunks", "1", "--json"}))["chunks"],
            1);
  EXPECT_EQ(run({"perplexity", kModel, "--kl", saved, "--text", text, "--ctx", "48"}).code, 0);

  const auto refused = [&](const std::vector<std::string>& more, int code, const char* said) {
    const Outcome outcome = run(judge("perplexity", more));
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_NE(outcome.err.find(said), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  };
  refused({kModel, "--kl", saved, "--ctx", "64"}, 65, "--ctx 48");
  refused({kModel, "--kl", saved, "--text", write_text(folder, "other", "X" + stories())}, 65,
          "another text");
  refused({kModel, "--kl", text}, 65, "is not a file of reference predictions");
  refused({kModel, "--kl", folder.file("gone")}, 66, "gone");
  refused({kModel, "--text", text, "--ctx", "48", "--kl-base", "/nonexistent/saved.kl"}, 73,
          "/nonexistent");
  refused({kModel, "--text", text, "--kl", saved, "--kl-base", saved}, 64, "--kl");
  const std::string tiny = folder.file("tiny.gguf");
  ASSERT_EQ(run({"synth", "gemma3-tiny", tiny}).code, 0);
  refused({tiny, "--kl", saved}, 65, "another vocabulary");
}

TEST(Perplexity, RefusesWhatItCannotRead) {
  const Folder folder;
  const std::string text = write_text(folder, "text", "Once upon a time.");
  const auto refused = [&](const std::vector<std::string>& more, int code,
                           const std::vector<std::string>& said) {
    for (const char* command : {"perplexity", "compare"}) {
      std::vector<std::string> all = {command, kModel};
      if (std::string(command) == "compare") all.push_back(kModel);
      all.insert(all.end(), more.begin(), more.end());
      const Outcome outcome = run(all);
      EXPECT_EQ(outcome.code, code) << outcome.err;
      EXPECT_EQ(outcome.out, "");
      for (const std::string& part : said) {
        EXPECT_NE(outcome.err.find(part), std::string::npos) << part << ": " << outcome.err;
      }
    }
  };
  refused({}, 64, {"--text"});
  refused({"--text", folder.file("gone")}, 66, {"gone"});
  refused({"--text", folder.path()}, 66, {folder.path()});
  refused({"--text", text}, 64, {"the text has", "tokens", "512"});
  refused({"--text", text, "--ctx", "1000000"}, 64, {"1000000", "--ctx"});
  refused({"--text", text, "--ctx", "7"}, 64, {"--ctx", "8 to"});
  refused({"--text", text, "--chunks", "0"}, 64, {"--chunks"});
  EXPECT_EQ(run({"perplexity"}).code, 64);
}

TEST(Compare, PutsModelsSideBySide) {
  const Folder folder;
  const std::string text = write_text(folder, "text", stories());
  const std::vector<std::string> three = {"compare", kModel, kModel,  kModel,
                                          "--text",  text,   "--ctx", "48"};
  auto with = [&](const char* flag) {
    std::vector<std::string> all = three;
    all.emplace_back(flag);
    return run(all);
  };
  const json rows = parsed(with("--json"));
  const json alone = parsed(run({"perplexity", kModel, "--text", text, "--ctx", "48", "--json"}));
  ASSERT_EQ(rows.size(), 3u);
  for (const json& row : rows) {
    EXPECT_EQ(row["perplexity"], alone["perplexity"]);
    EXPECT_EQ(row["stderr"], alone["stderr"]);
    EXPECT_EQ(row["file_bytes"], 3008640);
    EXPECT_NEAR(row["bits_per_weight"].get<double>(), 6.107, 0.001);
    EXPECT_GT(row["prompt_tokens_per_s"].get<double>(), 0);
    EXPECT_GT(row["decode_tokens_per_s"].get<double>(), 0);
    EXPECT_TRUE(row["won_back"].is_null());  // nothing is lost
  }
  EXPECT_TRUE(rows[0]["kl"].is_null());
  EXPECT_EQ(rows[1]["kl"]["mean"], 0);
  EXPECT_EQ(rows[1]["kl"]["same_top"], 1);
  const Outcome table = with("--markdown");
  EXPECT_NE(table.out.find("| bits/weight |"), std::string::npos) << table.out << table.err;
  EXPECT_NE(table.out.find("nothing to win back"), std::string::npos) << table.out;

  const std::string tiny = folder.file("tiny.gguf");
  ASSERT_EQ(run({"synth", "gemma3-tiny", tiny}).code, 0);
  const Outcome other = run({"compare", kModel, tiny, "--text", text, "--ctx", "48"});
  EXPECT_EQ(other.code, 65);
  EXPECT_NE(other.err.find("another vocabulary (512 tokens)"), std::string::npos) << other.err;
  const Outcome one = run({"compare", kModel, "--text", text});
  EXPECT_EQ(one.code, 64);
  EXPECT_NE(one.err.find("two models"), std::string::npos) << one.err;
}

// Ctrl-C in the middle: the program ends soon, and leaves nothing behind.
TEST(Perplexity, CanBeInterrupted) {
  std::string text;
  for (int i = 0; i < 600; ++i) text += stories();
  for (const char* command : {"perplexity", "compare"}) {
    const Folder folder;
    const std::string path = write_text(folder, "text", text);
    std::vector<std::string> all = {command, kModel, "--text", path, "--ctx", "64"};
    if (std::string(command) == "compare") {
      all.emplace_back(kModel);
    } else {
      all.insert(all.end(), {"--kl-base", folder.file("saved.kl"), "--chunks", "2000"});
    }
    Terminal terminal(all, {{"TMPDIR", folder.path()}});
    ASSERT_TRUE(terminal.expect("reading ["));
    ASSERT_TRUE(terminal.expect("perplexity "));
    terminal.type("\x03");
    EXPECT_EQ(terminal.exit_code(), 130);
    size_t files = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      ++files;
    }
    EXPECT_EQ(files, 1u) << "only the text";
  }
}

}  // namespace
}  // namespace nibble::test
