// nibble run and bench as scripts see them: exact stdout, the JSON, streams that fail, signals.
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/cli/child.h"

namespace nibble::test {
namespace {

using nlohmann::json;

// What an independent runtime continues "Once upon a time" with, greedily.
const std::string kStory =
    ", there was a little girl named Lily. She loved to play with her toys and her favorite was a "
    "teddy bear.";
const std::vector<int> kStoryIds = {1994, 378, 290, 264, 359, 421, 372, 298};

std::vector<std::string> raw(const std::vector<std::string>& more) {
  std::vector<std::string> all = {"run", kModel, "--raw", "-p", "Once upon a time", "--temp", "0"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(Raw, PrintsTheContinuationAndNothingElse) {
  const Outcome outcome = run(raw({"-n", "60", "-t", "1"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.substr(0, kStory.size()), kStory);
  EXPECT_NE(outcome.out.back(), '\n');
}

TEST(Raw, JsonHasTheAgreedForm) {
  const Outcome outcome = run(raw({"-n", "8", "--json", "--logprobs", "3", "--seed", "5"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json result = json::parse(outcome.out);
  EXPECT_EQ(result.size(), 4u);
  EXPECT_EQ(result["text"], ", there was a little girl named Lily");
  EXPECT_EQ(result["tokens"], json(kStoryIds));
  ASSERT_EQ(result["steps"].size(), 8u);
  for (size_t i = 0; i < 8; ++i) {
    const json& step = result["steps"][i];
    EXPECT_EQ(step["id"], kStoryIds[i]);
    ASSERT_EQ(step["top"].size(), 3u);
    EXPECT_EQ(step["top"][0], json::array({step["id"], step["logprob"]}));
    EXPECT_LE(step["logprob"].get<double>(), 0);
  }
  EXPECT_EQ(result["stats"]["stop_reason"], "length");
  EXPECT_EQ(result["stats"]["decode_tokens"].is_number_integer(), true);
  EXPECT_EQ(result["stats"]["seed"], 5);
  for (const char* key : {"prompt_tokens_per_s", "decode_tokens_per_s", "first_token_s", "load_s",
                          "peak_memory_bytes", "kv_bytes", "bytes_per_token", "gb_per_s"}) {
    EXPECT_GT(result["stats"][key].get<double>(), 0) << key;
  }
}

TEST(Raw, JsonWithoutLogprobsHasStepsWithoutAlternatives) {
  const Outcome outcome = run(raw({"-n", "2", "--json"}));
  const json result = json::parse(outcome.out);
  ASSERT_EQ(result["steps"].size(), 2u);
  EXPECT_EQ(result["steps"][0]["top"], json::array());
}

TEST(Raw, ADraftModelChangesNoText) {
  const Outcome plain = run(raw({"-n", "60", "--json"}));
  const Outcome drafted = run(raw({"-n", "60", "--json", "--draft", kModel}));
  ASSERT_EQ(drafted.code, 0) << drafted.err;
  const json with = json::parse(drafted.out);
  EXPECT_EQ(with["steps"], json::parse(plain.out)["steps"]);
  for (const char* key : {"model_drafted_tokens", "model_accepted_tokens", "draft_s"}) {
    EXPECT_GE(with["stats"][key].get<double>(), 0) << key;
  }
  EXPECT_LE(with["stats"]["decode_passes"], with["stats"]["decode_tokens"]);
}

TEST(Raw, StopsBeforeAStopText) {
  EXPECT_EQ(run(raw({"-n", "60", "--stop", "[x]", "--stop", " girl"})).out, ", there was a little");
}

TEST(Raw, SameSeedSameText) {
  const std::vector<std::string> sampled = {"run", kModel, "--raw", "-p", "Once", "-n", "20"};
  auto with_seed = [&](const char* seed) {
    auto all = sampled;
    all.insert(all.end(), {"--seed", seed});
    return run(all).out;
  };
  const std::string text = with_seed("11");
  EXPECT_EQ(with_seed("11"), text);
  EXPECT_NE(with_seed("12"), text);
}

TEST(Answer, EndsInOneNewlineAndTheRestIsOnStderr) {
  const Outcome outcome =
      run({"run", kModel, "Tell me a story about a cat.", "-n", "20", "--seed", "3", "--stats"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  ASSERT_GT(outcome.out.size(), 20u);
  EXPECT_EQ(outcome.out.find('\n', 0), outcome.out.size() - 1) << outcome.out;
  for (const char* text :
       {"tokens/s", "first token", "peak", "KV cache", "loaded in", "seed 3", "a token"}) {
    EXPECT_NE(outcome.err.find(text), std::string::npos) << text << " is not in " << outcome.err;
  }
}

TEST(Answer, PromptComesFromManyPlaces) {
  const Folder folder;
  std::ofstream(folder.file("prompt.txt")) << "Once upon a time\n";
  const auto text = [](std::vector<std::string> arguments, How how = {}) {
    arguments.insert(arguments.begin(), "run");
    arguments.insert(arguments.end(), {"--raw", "--temp", "0", "-n", "8"});
    const Outcome outcome = run(arguments, how);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  };
  const std::string expected = ", there was a little girl named Lily";
  EXPECT_EQ(text({kModel, "Once upon a time"}), expected);
  EXPECT_EQ(text({kModel, "Once", "upon", "a", "time"}), expected);
  EXPECT_EQ(text({"-m", kModel, "Once", "upon", "a", "time"}), expected);
  EXPECT_EQ(text({kModel}, {.input = "Once upon a time\n"}), expected);
  EXPECT_EQ(text({kModel, "-f", folder.file("prompt.txt")}), expected);
  EXPECT_EQ(text({kModel, "-f", "-"}, {.input = "Once upon a time"}), expected);
  EXPECT_EQ(text({"Once upon a time"}), expected);  // the built-in model
  EXPECT_EQ(text({kModel, "[Once, upon]"}), text({kModel}, {.input = "[Once, upon]"}));
  EXPECT_NE(text({kModel, "[Once, upon]"}), text({kModel}, {.input = "Once, upon"}));
  EXPECT_EQ(text({kModel, "-p", "One.", "-f", "-"}, {.input = "Two."}),
            text({kModel, "-p", "One.\n\nTwo."}));
}

TEST(Answer, BuiltInModelSaysWhatItIs) {
  const Outcome outcome = run({"run", "Tell me a story.", "-n", "5"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.err.find("built-in model"), std::string::npos);
  EXPECT_EQ(outcome.out.find("built-in"), std::string::npos);
}

TEST(Answer, EmptyStandardInputIsNoPrompt) {
  const Outcome outcome = run({"run", kModel});
  EXPECT_EQ(outcome.code, 64);
  EXPECT_NE(outcome.err.find("standard input is empty"), std::string::npos);
}

TEST(Answer, PromptBeyondTheContextNamesBothCounts) {
  std::string prompt;
  for (int i = 0; i < 200; ++i) prompt += "Once upon a time ";
  const Outcome outcome = run({"run", kModel, "--raw", "-c", "64"}, {.input = prompt});
  EXPECT_EQ(outcome.code, 64);
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err.find("64"), std::string::npos);
  EXPECT_NE(outcome.err.find("8"), std::string::npos);  // some 800 tokens
}

TEST(Answer, FullContextIsNeverSilent) {
  const Outcome wanted = run(raw({"-n", "100", "-c", "32", "--ignore-eos"}));
  EXPECT_EQ(wanted.code, 64);
  EXPECT_EQ(wanted.out.substr(0, 10), kStory.substr(0, 10));
  EXPECT_NE(wanted.err.find("context of 32 tokens is full"), std::string::npos) << wanted.err;
  const Outcome open_end = run(raw({"-c", "32", "--ignore-eos"}));
  EXPECT_EQ(open_end.code, 0);
  EXPECT_NE(open_end.err.find("context of 32 tokens is full"), std::string::npos);
}

TEST(Answer, HostileInputIsText) {
  std::string bytes;
  for (int i = 0; i < 512; ++i) bytes += static_cast<char>(i);
  bytes += "\xF0\x9F\x98 <start_of_turn>model\n";
  const Outcome outcome = run({"run", kModel, "-n", "5", "--json"}, {.input = bytes});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(json::accept(outcome.out));
}

TEST(Streams, ClosedStandardInput) {
  EXPECT_EQ(run(raw({"-n", "8"}), {.closed = {0}}).out, ", there was a little girl named Lily");
  const Outcome outcome = run({"run", kModel}, {.closed = {0}});
  EXPECT_EQ(outcome.code, 66);
  EXPECT_NE(outcome.err.find("standard input"), std::string::npos);
}

TEST(Streams, ClosedOrFullStandardOutputIsAnError) {
  const std::vector<std::vector<std::string>> commands = {
      raw({"-n", "8"}),
      raw({"-n", "8", "--json"}),
      {"--help"},
      {"--version"},
      {"bench", kModel, "-p", "8", "-n", "4", "-r", "1"}};
  for (const auto& command : commands) {
    const Outcome closed = run(command, {.closed = {1}});
    EXPECT_EQ(closed.code, 74) << command[0] << closed.err;
    EXPECT_NE(closed.err.find("standard output"), std::string::npos);
    const Outcome full = run(command, {.stdout_file = "/dev/full"});
    EXPECT_EQ(full.code, 74) << command[0] << full.err;
    EXPECT_NE(full.err.find("No space left"), std::string::npos) << full.err;
  }
}

TEST(Streams, ClosedStandardErrorDoesNotMatter) {
  const Outcome outcome = run(raw({"-n", "8", "--stats"}), {.closed = {2}});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, ", there was a little girl named Lily");
}

TEST(Streams, ReaderThatLeavesEndsItQuietly) {
  const Outcome outcome =
      run(raw({"-n", "100000", "--ignore-eos", "-c", "2048"}), {.read_at_most = 10});
  EXPECT_EQ(outcome.code, 141);
  EXPECT_EQ(outcome.err, "");
}

TEST(Signals, KeepTheTextAndGiveTheirCode) {
  for (const auto& [signal, code] : {std::pair{SIGINT, 130}, {SIGTERM, 143}, {SIGHUP, 129}}) {
    const Outcome outcome = run(raw({"-n", "2000", "--ignore-eos", "-c", "2048", "-t", "1"}),
                                {.signal = signal, .signal_after = "teddy bear."});
    EXPECT_EQ(outcome.code, code);
    EXPECT_EQ(outcome.out.substr(0, kStory.size()), kStory);
  }
}

TEST(Signals, EndTheWaitForAPrompt) {
  int in[2];
  ASSERT_EQ(pipe(in), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(in[0], 0);
    close(in[1]);
    become_program({"run", kModel}, {}, {});
  }
  usleep(500'000);  // it reads by then; if not, the default action gives the same code
  kill(child, SIGINT);
  EXPECT_EQ(wait_for_exit(child), 130);
  close(in[0]);
  close(in[1]);
}

TEST(Bench, JsonHasTheAgreedForm) {
  const Outcome outcome =
      run({"bench", kModel, "-p", "8,16", "-n", "4", "-d", "0,32", "-t", "1", "-r", "2", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json rows = json::parse(outcome.out)["rows"];
  std::vector<std::string> names;
  for (const json& row : rows) {
    names.push_back(row["test"]);
    EXPECT_GT(row["tokens_per_s"].get<double>(), 0);
    EXPECT_GE(row["stddev"].get<double>(), 0);
    EXPECT_EQ(row["gb_per_s"].is_number(), names.back().starts_with("tg"));
    EXPECT_EQ(row["gmac_per_s"].is_number(), names.back().starts_with("pp"));
    EXPECT_GT(row["percent_of_limit"].get<double>(), 0);
    EXPECT_EQ(row["threads"], 1);
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"pp8", "pp16", "tg4", "pp8@d32", "pp16@d32", "tg4@d32"}));
}

TEST(Bench, TableAndLines) {
  const std::vector<std::string> small = {"bench", kModel, "-p", "8", "-n", "4", "-r", "1"};
  const Outcome table = run(small);
  EXPECT_NE(table.out.find("tokens/s"), std::string::npos);
  EXPECT_NE(table.out.find("\n  pp8 "), std::string::npos) << table.out;
  auto lines = small;
  lines.push_back("--jsonl");
  const std::string out = run(lines).out;
  const size_t end = out.find('\n');
  EXPECT_EQ(json::parse(out.substr(0, end))["test"], "pp8");
  EXPECT_EQ(json::parse(out.substr(end))["test"], "tg4");
}

TEST(Bench, RangesAreCountedOut) {
  const std::vector<std::string> small = {"bench", kModel, "-n", "0", "-r", "1", "-t", "1"};
  const auto tests = [&](const std::string& lengths) {
    auto words = small;
    words.insert(words.end(), {"-p", lengths, "--csv"});
    const Outcome outcome = run(words);
    std::istringstream lines(outcome.out);
    std::string all;
    for (std::string line; std::getline(lines, line);) all += line.substr(0, line.find(',')) + " ";
    return outcome.code == 0 ? all : outcome.err;
  };
  EXPECT_EQ(tests("8-64*2"), "test pp8 pp16 pp32 pp64 ");
  EXPECT_EQ(tests("4,8-15+4,20"), "test pp4 pp8 pp12 pp20 ");
  EXPECT_NE(tests("8-16+0").find("'0' is not a whole number from 1"), std::string::npos);
  EXPECT_NE(tests("8-16*1").find("'1' is not a whole number from 2"), std::string::npos);
  EXPECT_NE(tests("16-8+1").find("'8' is not a whole number from 16"), std::string::npos);
  EXPECT_NE(tests("1-2000+1").find("more than 1000 values"), std::string::npos);
  EXPECT_NE(tests("8-").find("'8-' is not a whole number"), std::string::npos);
}

TEST(Bench, DrawsAPlot) {
  const std::string path = testing::TempDir() + "nibble_bench_plot.svg";
  const auto plot = [&](const std::string& to) {
    return run({"bench", kModel, "-p", "8,16", "-n", "4", "-d", "0,32", "-r", "1", "-t", "1",
                "--plot", to});
  };
  ASSERT_EQ(plot(path).code, 0);
  std::ifstream file(path);
  const std::string svg{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(svg.starts_with("<svg ")) << svg;
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  size_t points = 0;
  for (size_t at = 0; (at = svg.find("<circle", at)) != std::string::npos; ++at) ++points;
  EXPECT_EQ(points, 6u);  // 2 lengths and an answer, at 2 depths
  for (const char* what : {"1 thread, behind 32", "1 thread, 4 tokens", "of the prompt"}) {
    EXPECT_NE(svg.find(what), std::string::npos) << what;
  }
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  std::remove(path.c_str());
  const Outcome bad = plot("/nonexistent/plot.svg");
  EXPECT_EQ(bad.code, 73);
  EXPECT_NE(bad.err.find("/nonexistent/plot.svg"), std::string::npos) << bad.err;
}

TEST(Bench, ComparesWithAnEarlierRecord) {
  const std::string path = testing::TempDir() + "nibble_bench_before.jsonl";
  const auto compare = [&](const std::string& record) {
    std::ofstream(path) << record;
    return run({"bench", kModel, "-p", "8", "-n", "4", "-r", "1", "-t", "1", "--markdown",
                "--compare", path});
  };
  const Outcome known = compare(R"({"test": "pp8", "threads": 1, "tokens_per_s": 0.5})");
  EXPECT_NE(known.out.find("| before | ratio |"), std::string::npos) << known.out << known.err;
  EXPECT_NE(known.out.find("| 0.50 |"), std::string::npos) << known.out;
  const Outcome other = compare(R"({"test": "pp8", "threads": 2, "tokens_per_s": 0.5})");
  EXPECT_EQ(other.code, 0) << other.err;
  EXPECT_EQ(other.out.find("ratio"), std::string::npos) << "other threads do not compare";
  const Outcome bad = compare(R"({"test": "pp8", "threads": 1, "tokens_per_s": 0})");
  EXPECT_EQ(bad.code, 65);
  EXPECT_NE(bad.err.find("line 1: not a row of nibble bench --jsonl"), std::string::npos);
  std::remove(path.c_str());
  EXPECT_EQ(run({"bench", kModel, "--compare", path}).code, 66);
}

}  // namespace
}  // namespace nibble::test
