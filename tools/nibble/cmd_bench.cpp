// nibble bench: how fast a model reads a prompt (ppN) and writes (tgN), also behind a context that
// is filled already (@dN): mean and standard deviation of repeated runs after a warm-up, and the
// share of the machine's limit. Read next: bench_rows.h, bench_plot.h, loading.h.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "runtime/machine/probe.h"
#include "runtime/machine/thermals.h"
#include "simd/registry.h"
#include "tools/nibble/bench_plot.h"
#include "tools/nibble/bench_rows.h"
#include "tools/nibble/board.h"
#include "tools/nibble/builtin_model.h"
#include "tools/nibble/command.h"
#include "tools/nibble/loading.h"
#include "tools/nibble/number_options.h"
#include "tools/nibble/report.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

constexpr size_t kMostTests = 1000;  // values of one range

struct BenchChoice {
  std::string model;
  std::vector<int64_t> prompt_tokens = {512};
  std::vector<int64_t> decode_tokens = {128};
  std::vector<int64_t> depths = {0};
  std::vector<int64_t> threads = {0};
  std::optional<int64_t> runs;
  MachineChoice machine;
  std::string compare;
  std::string plot;
  bool json = false;
  bool jsonl = false;
  bool markdown = false;
  bool csv = false;
  bool report = false;
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

struct Sample {
  double tokens_per_s = 0;
  double bytes_per_token = 0;  // decode only
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

// Without guesses: random weights repeat themselves.
GenerateOptions greedy(int64_t tokens) {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = tokens;
  options.ignore_end = true;
  options.lookup = false;
  return options;
}

// Until the first token could be chosen, as when it is answered.
Result<Sample> measure_prompt(Session* session, const Model& model, const Test& test) {
  NIBBLE_TRY_VOID(fill(session, model, test.depth));
  const CancelOnSignal cancel(*session);
  NIBBLE_TRY(const Completion completion,
             session->generate(random_tokens(model, test.tokens), greedy(0)));
  return Sample{static_cast<double>(test.tokens) / completion.stats.prompt_s, 0};
}

Result<Sample> measure_decode(Session* session, const Model& model, const Test& test) {
  NIBBLE_TRY_VOID(fill(session, model, test.depth));
  const CancelOnSignal cancel(*session);
  NIBBLE_TRY(const Completion completion, session->complete("A", greedy(test.tokens)));
  const Stats& stats = completion.stats;
  if (stats.decode_tokens == 0 || stats.decode_s <= 0) {
    return Error{ErrorCode::kUsage, "-n is too small to be timed; try 16 or more"};
  }
  Sample sample;
  sample.tokens_per_s = static_cast<double>(stats.decode_tokens) / stats.decode_s;
  sample.bytes_per_token = static_cast<double>(stats.decode_bytes);
  return sample;
}

BenchRow summarise(const Test& test, const std::vector<Sample>& samples) {
  BenchRow row;
  row.test = test.name();
  row.tokens = test.tokens;
  row.depth = test.depth;
  row.decode = test.decode;
  const auto count = static_cast<double>(samples.size());
  double bytes_per_token = 0;
  for (const Sample& sample : samples) {
    row.tokens_per_s += sample.tokens_per_s / count;
    bytes_per_token += sample.bytes_per_token / count;
  }
  double squares = 0;
  for (const Sample& sample : samples) {
    squares += std::pow(sample.tokens_per_s - row.tokens_per_s, 2);
  }
  if (samples.size() > 1) row.stddev = std::sqrt(squares / (count - 1));
  if (!test.decode) return row;
  row.bytes_per_token = bytes_per_token;
  row.gb_per_s = 1e-9 * row.tokens_per_s * bytes_per_token;
  return row;
}

// What the level of the engine's int8 kernels needs of a CPU.
CpuFeatures int8_features(const Engine& engine) {
  for (const Engine::Choice& choice : engine.choices()) {
    if (choice.what != "matmul Q4_0") continue;
    for (const IsaLevel& level : isa_levels()) {
      if (level.name == choice.isa) return level.required;
    }
  }
  return 0;
}

int64_t context_of(const Test& test) {
  constexpr int64_t kPromptRoom = 16;  // decoding needs something to go on from
  return test.depth + test.tokens + kPromptRoom;
}

// One warm-up and then the runs.
Result<BenchRow> run_test(const LoadedModel& loaded, const BenchChoice& choice, const Test& test) {
  SessionOptions options = choice.machine.session_options();
  options.context = context_of(test);
  NIBBLE_TRY(const auto session, Session::create(loaded.model, options));
  std::vector<Sample> samples;
  const Thermals before = read_thermals();
  bool throttled = false;
  for (int64_t i = -1; i < choice.runs.value_or(5); ++i) {
    NIBBLE_TRY(const Sample sample, test.decode
                                        ? measure_decode(session.get(), *loaded.model, test)
                                        : measure_prompt(session.get(), *loaded.model, test));
    if (signal_exit_code() != 0) return Error{ErrorCode::kInterrupted, "interrupted"};
    if (i >= 0) samples.push_back(sample);
    throttled = throttled || throttled_between(before, read_thermals());
  }
  BenchRow row = summarise(test, samples);
  row.throttled = throttled;
  row.model = loaded.model->name();
  row.threads = test.decode ? loaded.engine->threads() : loaded.engine->prompt_threads();
  // Limits are measured for each test anew: on a shared machine they change within minutes.
  if (test.decode) {
    const auto limit = measure_bandwidth_gb_per_s(row.threads);
    if (limit) row.percent_of_limit = 100 * *row.gb_per_s / *limit;
  } else if (const uint64_t products = loaded.model->int8_products(); products > 0) {
    row.gmac_per_s = 1e-9 * row.tokens_per_s * static_cast<double>(products);
    row.percent_of_limit =
        100 * *row.gmac_per_s / probe_int8_gmac_per_s(row.threads, int8_features(*loaded.engine));
  }
  return row;
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

Result<std::vector<BenchRow>> run_all(const BenchChoice& choice, const std::string& path,
                                      LoadedModel* last) {
  OldRows old;
  if (!choice.compare.empty()) {
    NIBBLE_TRY(old, OldRows::read(choice.compare));
  }
  LoadOptions load = choice.machine.load_options();
  for (const Test& test : all_tests(choice)) {
    load.session.context = std::max(load.session.context, context_of(test));
  }
  std::vector<BenchRow> rows;
  EngineOptions engine = choice.machine.engine_options();
  for (const int64_t threads : choice.threads) {
    if (threads != 0) engine.threads = static_cast<int>(threads);
    *last = {};  // one copy of the weights at a time
    NIBBLE_TRY(*last, load_model(path, engine, load));
    for (const Test& test : all_tests(choice)) {
      if (isatty(STDERR_FILENO) == 1) std::fprintf(stderr, "\r\033[K%s", test.name().c_str());
      auto row = run_test(*last, choice, test);
      if (isatty(STDERR_FILENO) == 1) std::fputs("\r\033[K", stderr);
      if (!row) return row.error();
      row->old_tokens_per_s = old.find(*row);
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
  LoadedModel last;
  const Thermals before = read_thermals();
  const auto rows = run_all(choice, path, &last);
  if (!rows) {
    const int code = fail(rows.error());
    return signal_exit_code() != 0 ? signal_exit_code() : code;
  }
  const Model& model = *last.model;
  if (!choice.plot.empty()) {
    const auto written = write_plot(choice.plot, model.name(), *rows);
    if (!written) return fail(written.error());
  }
  if (choice.json) {
    nlohmann::ordered_json json = {{"rows", nlohmann::ordered_json::array()}};
    for (const BenchRow& row : *rows) json["rows"].push_back(row_json(row));
    std::printf("%s\n", json.dump().c_str());
  } else if (choice.csv || choice.markdown || choice.report) {
    if (choice.report) {
      std::printf("%s\n", board_report(*last.engine, model, before, read_thermals()).c_str());
    }
    print_rows(*rows, choice.csv ? RowForm::kCsv : RowForm::kMarkdown);
  } else if (!choice.jsonl) {
    std::printf("%s, %s, %s\n\n", model.name().c_str(), model.architecture().c_str(),
                human_bytes(model.weight_bytes()).c_str());
    print_rows(*rows, RowForm::kTable);
  }
  return 0;
}

// "512", "128-512+128" (128, 256, 384, 512) or "8-64*2" (8, 16, 32, 64).
Result<void> read_range(const std::string& name, const std::string& text, WholeRange range,
                        std::vector<int64_t>* out) {
  const size_t dash = text.find('-', 1);
  const size_t sign = text.find_first_of("+*", dash == std::string::npos ? 0 : dash);
  if (dash == std::string::npos || sign == std::string::npos) {
    NIBBLE_TRY(const int64_t value, parse_whole(name, text, range));
    out->push_back(value);
    return {};
  }
  const bool multiply = text[sign] == '*';
  NIBBLE_TRY(int64_t value, parse_whole(name, text.substr(0, dash), {multiply ? 1 : 0, range.max}));
  NIBBLE_TRY(const int64_t last,
             parse_whole(name, text.substr(dash + 1, sign - dash - 1), {value, range.max}));
  NIBBLE_TRY(const int64_t step,
             parse_whole(name, text.substr(sign + 1), {multiply ? 2 : 1, range.max}));
  for (; value <= last; value = multiply ? value * step : value + step) {
    if (out->size() == kMostTests) {
      return Error{ErrorCode::kUsage, name + ": '" + text +
                                          "' and what is before it are more than " +
                                          std::to_string(kMostTests) + " values"};
    }
    NIBBLE_TRY(const int64_t checked, parse_whole(name, std::to_string(value), range));
    out->push_back(checked);
  }
  return {};
}

// A list of whole numbers and ranges with commas between, each in `range`; `zero`, if any, is a
// word for 0.
void add_list(CLI::App* app, const std::string& names, std::vector<int64_t>* out, WholeRange range,
              const std::string& description, const std::string& zero = {}) {
  const std::string shown =
      names.substr(0, names.find(',')) + ", " + names.substr(names.find(',') + 1);
  const CLI::callback_t read = [out, range, shown, zero](const CLI::results_t& results) {
    out->clear();
    for (const std::string& text : results) {
      if (!zero.empty() && text == zero) {
        out->push_back(0);
        continue;
      }
      const auto added = read_range(shown, text, range, out);
      if (!added) throw CLI::ValidationError(added.error().message);
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
           "Threads (default: the performance cores)", "auto");
  add_whole(command, "-r,--runs", &choice->runs, {1, 1000}, "Runs of each test (default 5)");
  auto* json = command->add_flag("--json", choice->json, "Print {\"rows\": [...]}");
  auto* lines = command->add_flag("--jsonl", choice->jsonl,
                                  "Print a JSON object a line, each when it is known");
  auto* markdown = command->add_flag("--markdown", choice->markdown, "Print a Markdown table");
  auto* csv = command->add_flag("--csv", choice->csv, "Print comma-separated values");
  auto* report = command->add_flag("--report", choice->report,
                                   "Print a block to paste: machine, heat, results");
  lines->excludes(json);
  markdown->excludes(json)->excludes(lines);
  csv->excludes(json)->excludes(lines)->excludes(markdown);
  report->excludes(json)->excludes(lines)->excludes(markdown)->excludes(csv);
  command->add_option("--compare", choice->compare, "An earlier --jsonl to show beside this")
      ->type_name("FILE");
  command->add_option("--plot", choice->plot, "Draw speed over length and depth, as SVG")
      ->type_name("FILE");
  choice->machine.add_options(command);
  command->footer(R"(Examples:
  nibble bench gemma-3-1b-it-q4_0.gguf
  nibble bench gemma-3-1b-it-q4_0.gguf -p 8-64*2,512 -n 64 -d 0,2048 -t 1,2
  nibble bench gemma-3-1b-it-q4_0.gguf --jsonl > before.jsonl
  nibble bench gemma-3-1b-it-q4_0.gguf --compare before.jsonl)");
  command->callback([choice, exit_code] { *exit_code = bench(*choice); });
}

}  // namespace nibble::cli
