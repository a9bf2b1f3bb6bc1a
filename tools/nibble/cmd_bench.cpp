// nibble bench: how fast a model reads a prompt (ppN) and writes (tgN), also behind a context that
// is filled already (@dN), as medians' simpler cousin: mean and standard deviation of repeated runs
// after a warm-up. Read next: loading.h, report.h (the bandwidth it is compared with).
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tools/nibble/builtin_model.h"
#include "tools/nibble/command.h"
#include "tools/nibble/loading.h"
#include "tools/nibble/numbers.h"
#include "tools/nibble/report.h"
#include "tools/nibble/signals.h"
#include "tools/nibble/table.h"

namespace nibble::cli {
namespace {

struct BenchChoice {
  std::string model;
  std::vector<int64_t> prompt_tokens = {512};
  std::vector<int64_t> decode_tokens = {128};
  std::vector<int64_t> depths = {0};
  std::vector<int64_t> threads = {0};
  std::optional<int64_t> runs;
  MachineChoice machine;
  bool json = false;
  bool jsonl = false;
};

struct Test {
  bool decode = false;
  int64_t tokens = 0;
  int64_t depth = 0;

  std::string name() const {
    return (decode ? "tg" : "pp") + std::to_string(tokens) +
           (depth > 0 ? "@d" + std::to_string(depth) : "");
  }
};

struct Row {
  std::string test;
  int threads = 0;
  double tokens_per_s = 0;
  double stddev = 0;
  std::optional<double> gb_per_s;
  std::optional<double> percent_of_limit;
};

struct Sample {
  double tokens_per_s = 0;
  double gb_per_s = 0;  // decode only
};

// The same tokens for every run and machine, of the whole vocabulary.
std::vector<int32_t> random_tokens(const Model& model, int64_t count) {
  std::mt19937 generator(1);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(generator() % model.vocabulary_size());
  return ids;
}

Result<void> fill(Session* session, const Model& model, int64_t count) {
  session->reset();
  if (count == 0) return {};
  const auto logits = session->evaluate(random_tokens(model, count), false);
  if (!logits) return logits.error();
  return {};
}

Result<Sample> measure_prompt(Session* session, const Model& model, const Test& test) {
  NIBBLE_TRY_VOID(fill(session, model, test.depth));
  const std::vector<int32_t> ids = random_tokens(model, test.tokens);
  const auto start = std::chrono::steady_clock::now();
  NIBBLE_TRY([[maybe_unused]] const auto logits, session->evaluate(ids, false));
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  return Sample{static_cast<double>(test.tokens) / time.count(), 0};
}

Result<Sample> measure_decode(Session* session, const Model& model, const Test& test) {
  NIBBLE_TRY_VOID(fill(session, model, test.depth));
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = test.tokens;
  options.ignore_end = true;
  options.lookup = false;  // random weights repeat themselves
  const CancelOnSignal cancel(*session);
  NIBBLE_TRY(const Completion completion, session->complete("A", options));
  const Stats& stats = completion.stats;
  if (stats.decode_tokens == 0 || stats.decode_s <= 0) {
    return Error{ErrorCode::kUsage, "-n is too small to be timed; try 16 or more"};
  }
  Sample sample;
  sample.tokens_per_s = static_cast<double>(stats.decode_tokens) / stats.decode_s;
  sample.gb_per_s = 1e-9 * sample.tokens_per_s * static_cast<double>(stats.decode_bytes);
  return sample;
}

Row summarise(const Test& test, const std::vector<Sample>& samples) {
  Row row;
  row.test = test.name();
  const auto count = static_cast<double>(samples.size());
  double gb_per_s = 0;
  for (const Sample& sample : samples) {
    row.tokens_per_s += sample.tokens_per_s / count;
    gb_per_s += sample.gb_per_s / count;
  }
  double squares = 0;
  for (const Sample& sample : samples) {
    squares += std::pow(sample.tokens_per_s - row.tokens_per_s, 2);
  }
  if (samples.size() > 1) row.stddev = std::sqrt(squares / (count - 1));
  if (!test.decode) return row;
  row.gb_per_s = gb_per_s;
  return row;
}

// One warm-up and then the runs.
Result<Row> run_test(const LoadedModel& loaded, const BenchChoice& choice, const Test& test) {
  constexpr int64_t kPromptRoom = 16;  // decoding needs something to go on from
  SessionOptions options = choice.machine.session_options();
  options.context = test.depth + test.tokens + kPromptRoom;
  NIBBLE_TRY(const auto session, Session::create(loaded.model, options));
  std::vector<Sample> samples;
  for (int64_t i = -1; i < choice.runs.value_or(5); ++i) {
    NIBBLE_TRY(const Sample sample, test.decode
                                        ? measure_decode(session.get(), *loaded.model, test)
                                        : measure_prompt(session.get(), *loaded.model, test));
    if (signal_exit_code() != 0) return Error{ErrorCode::kInterrupted, "interrupted"};
    if (i >= 0) samples.push_back(sample);
  }
  Row row = summarise(test, samples);
  row.threads = loaded.engine->threads();
  // Measured for each test anew: on a shared machine the limit changes within minutes.
  const auto limit = test.decode ? measure_bandwidth_gb_per_s(row.threads) : std::nullopt;
  if (limit) row.percent_of_limit = 100 * *row.gb_per_s / *limit;
  return row;
}

nlohmann::ordered_json row_json(const Row& row) {
  nlohmann::ordered_json json = {
      {"test", row.test},    {"tokens_per_s", row.tokens_per_s}, {"stddev", row.stddev},
      {"gb_per_s", nullptr}, {"percent_of_limit", nullptr},      {"threads", row.threads}};
  if (row.gb_per_s) json["gb_per_s"] = *row.gb_per_s;
  if (row.percent_of_limit) json["percent_of_limit"] = *row.percent_of_limit;
  return json;
}

std::string fixed(std::optional<double> value, int digits) {
  if (!value) return "-";
  char text[48];
  std::snprintf(text, sizeof(text), "%.*f", digits, *value);
  return text;
}

void print_table(const Model& model, const std::vector<Row>& rows) {
  Table table({false, true, true, true, true, true});
  table.add({"test", "threads", "tokens/s", "+-", "GB/s", "% of memory"});
  for (const Row& row : rows) {
    table.add({row.test, std::to_string(row.threads), fixed(row.tokens_per_s, 2),
               fixed(row.stddev, 2), fixed(row.gb_per_s, 2), fixed(row.percent_of_limit, 0)});
  }
  std::printf("%s, %s, %s\n\n", model.name().c_str(), model.architecture().c_str(),
              human_bytes(model.weight_bytes()).c_str());
  table.print();
}

std::vector<Test> all_tests(const BenchChoice& choice) {
  std::vector<Test> tests;
  for (const int64_t depth : choice.depths) {
    for (const int64_t n : choice.prompt_tokens) {
      if (n > 0) tests.push_back({false, n, depth});
    }
    for (const int64_t n : choice.decode_tokens) {
      if (n > 0) tests.push_back({true, n, depth});
    }
  }
  return tests;
}

Result<std::vector<Row>> run_all(const BenchChoice& choice, const std::string& path,
                                 std::shared_ptr<Model>* model) {
  std::vector<Row> rows;
  for (const int64_t threads : choice.threads) {
    EngineOptions engine;
    engine.threads = static_cast<int>(threads);
    engine.isa = choice.machine.isa;
    model->reset();  // one copy of the weights at a time
    NIBBLE_TRY(const LoadedModel loaded, load_model(path, engine, choice.machine.head_mode()));
    *model = loaded.model;
    for (const Test& test : all_tests(choice)) {
      if (isatty(STDERR_FILENO) == 1) std::fprintf(stderr, "\r\033[K%s", test.name().c_str());
      auto row = run_test(loaded, choice, test);
      if (isatty(STDERR_FILENO) == 1) std::fputs("\r\033[K", stderr);
      if (!row) return row.error();
      if (choice.jsonl) std::printf("%s\n", row_json(*row).dump().c_str());
      std::fflush(stdout);
      rows.push_back(*std::move(row));
    }
  }
  return rows;
}

int bench(const BenchChoice& choice) {
  install_signal_handlers(2);
  if (all_tests(choice).empty()) {
    return fail({ErrorCode::kUsage, "nothing to measure: -p and -n are both 0"});
  }
  const std::string path = choice.model.empty() ? find_builtin_model() : choice.model;
  if (path.empty()) return fail({ErrorCode::kNoInput, "name a model: nibble bench MODEL.gguf"});
  std::shared_ptr<Model> model;
  const auto rows = run_all(choice, path, &model);
  if (!rows) {
    const int code = fail(rows.error());
    return signal_exit_code() != 0 ? signal_exit_code() : code;
  }
  if (choice.json) {
    nlohmann::ordered_json json = {{"rows", nlohmann::ordered_json::array()}};
    for (const Row& row : *rows) json["rows"].push_back(row_json(row));
    std::printf("%s\n", json.dump().c_str());
  } else if (!choice.jsonl) {
    print_table(*model, *rows);
  }
  return 0;
}

// A list of whole numbers with commas between, each in `range`.
void add_list(CLI::App* app, const std::string& names, std::vector<int64_t>* out, WholeRange range,
              const std::string& description) {
  const std::string shown =
      names.substr(0, names.find(',')) + ", " + names.substr(names.find(',') + 1);
  const CLI::callback_t read = [out, range, shown](const CLI::results_t& results) {
    out->clear();
    for (const std::string& text : results) {
      const auto value = parse_whole(shown, text, range);
      if (!value) throw CLI::ValidationError(value.error().message);
      out->push_back(*value);
    }
    return true;
  };
  app->add_option(names, read, description)
      ->type_size(1)
      ->delimiter(',')
      ->type_name("N,..")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace

void add_bench(CLI::App& app, int* exit_code) {
  auto choice = std::make_shared<BenchChoice>();
  CLI::App* command = app.add_subcommand("bench", "Measure a model's speed");
  constexpr WholeRange kTokens = {0, int64_t{1} << 24};
  command->add_option("MODEL,-m,--model", choice->model,
                      "A GGUF file; without one the built-in story model");
  add_list(command, "-p,--prompt-tokens", &choice->prompt_tokens, kTokens,
           "Prompt lengths; 0: none (default 512)");
  add_list(command, "-n,--decode-tokens", &choice->decode_tokens, kTokens,
           "Numbers of tokens to write; 0: none (default 128)");
  add_list(command, "-d,--depth", &choice->depths, kTokens,
           "Tokens that are in the context before (default 0)");
  add_list(command, "-t,--threads", &choice->threads, {1, 1024},
           "Threads (default: the performance cores)");
  add_whole(command, "-r,--runs", &choice->runs, {1, 1000}, "Runs of each test (default 5)");
  auto* json = command->add_flag("--json", choice->json, "Print {\"rows\": [...]}");
  command->add_flag("--jsonl", choice->jsonl, "Print a JSON object a line, each when it is known")
      ->excludes(json);
  choice->machine.add_options(command);
  command->footer(R"(Examples:
  nibble bench gemma-3-1b-it-q4_0.gguf
  nibble bench gemma-3-1b-it-q4_0.gguf -p 128,512 -n 64 -d 0,2048 -t 1,2 --json)");
  command->callback([choice, exit_code] { *exit_code = bench(*choice); });
}

}  // namespace nibble::cli
