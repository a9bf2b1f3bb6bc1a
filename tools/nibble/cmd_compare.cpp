// nibble compare: models side by side on one text. All are in memory and read every chunk together,
// so nothing is written to disk. Read next: judging.h, comparison.h.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/model_impl.h"
#include "tools/nibble/command.h"
#include "tools/nibble/comparison.h"
#include "tools/nibble/judging.h"
#include "tools/nibble/output.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

struct CompareChoice {
  std::vector<std::string> models;
  JudgeChoice judge;
  bool json = false;
  bool markdown = false;
};

double bits_per_weight(const GgufFile& file) {
  double bits = 0;
  double weights = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    bits += 8 * static_cast<double>(tensor.bytes);
    weights += static_cast<double>(tensor.dims[0] * tensor.rows());
  }
  return weights > 0 ? bits / weights : 0;
}

// Tokens per second of a greedy answer.
Result<double> measure_decode(Session* session) {
  constexpr int64_t kTokens = 64;
  constexpr int64_t kPromptRoom = 4;
  const CancelOnSignal cancel(*session);
  session->reset();
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = std::min(kTokens, session->context() - kPromptRoom);
  options.ignore_end = true;
  options.lookup = false;
  NIBBLE_TRY(const Completion completion, session->complete("A", options));
  if (signal_exit_code() != 0) return Error{ErrorCode::kInterrupted, "interrupted"};
  const Stats& stats = completion.stats;
  return stats.decode_s > 0 ? static_cast<double>(stats.decode_tokens) / stats.decode_s : 0;
}

Result<ComparedModel> summarise(Examinee* examinee) {
  const GgufFile& file = examinee->model().impl().file;
  ComparedModel row;
  row.name = short_name(examinee->model());
  row.file_bytes = file.file_bytes();
  row.bits_per_weight = bits_per_weight(file);
  row.perplexity = perplexity_of(examinee->nlls());
  row.prompt_tokens_per_s = examinee->prompt_tokens_per_s();
  NIBBLE_TRY(row.decode_tokens_per_s, measure_decode(&examinee->session()));
  return row;
}

// How far the models after the first are from it, on the rows of one slice.
void compare_slice(const Examination& examination, size_t rows,
                   std::vector<Divergence>* divergences) {
  const Examinee& reference = *examination.examinees().front();
  std::vector<double> kl(rows);
  for (size_t i = 1; i < examination.examinees().size(); ++i) {
    const Examinee& own = *examination.examinees()[i];
    examination.each_row(rows, [&](size_t row) {
      kl[row] = kl_divergence(reference.logits(row), reference.prediction(row), own.logits(row),
                              own.prediction(row));
    });
    for (size_t row = 0; row < rows; ++row) {
      (*divergences)[i].add(kl[row], reference.prediction(row), own.prediction(row));
    }
  }
}

Result<std::vector<ComparedModel>> judge(const CompareChoice& choice) {
  const JudgeChoice& how = choice.judge;
  NIBBLE_TRY(const std::string text, how.read());
  NIBBLE_TRY(const auto engine, Engine::create(how.machine.engine_options()));
  for (const std::string& note : engine->notes()) print_note(note);
  Examination examination(engine);
  Chunks chunks;
  LoadOptions load = how.load_options(how.machine.load_options().head);
  const uint64_t of_each = load.reserved_bytes;
  for (const std::string& path : choice.models) {
    NIBBLE_TRY(const LoadedModel loaded, load_model(path, engine, load));
    const std::shared_ptr<Model>& model = loaded.model;
    load.reserved_bytes += model->planned_bytes() + of_each;
    if (chunks.ctx == 0) {
      NIBBLE_TRY(chunks, cut_text(*model, text, how.ctx_for(*model), how.most_chunks()));
    }
    NIBBLE_TRY_VOID(examination.add(model, how.machine.session_options(), chunks.ctx));
  }
  std::vector<Divergence> divergences(choice.models.size());
  NIBBLE_TRY_VOID(
      read_chunks(&examination, chunks, [&](size_t, std::span<const int32_t> next) -> Result<void> {
        compare_slice(examination, next.size(), &divergences);
        return {};
      }));
  std::vector<ComparedModel> rows;
  const size_t last = divergences.size() - 1;
  for (size_t i = 0; i <= last; ++i) {
    NIBBLE_TRY(ComparedModel row, summarise(&examination[i]));
    if (i > 0) row.divergence = nibble::summarise(divergences[i]);
    if (i > 0 && i < last) {
      row.won_back =
          won_back(examination[0].nlls(), examination[last].nlls(), examination[i].nlls());
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

int compare(const CompareChoice& choice) {
  install_signal_handlers(2);
  if (choice.models.size() < 2) {
    return fail({ErrorCode::kUsage, "name two models or more: nibble compare A.gguf B.gguf"});
  }
  const auto rows = judge(choice);
  if (!rows) {
    const int code = fail(rows.error());
    return signal_exit_code() != 0 ? signal_exit_code() : code;
  }
  if (choice.json) {
    std::printf("%s\n", comparison_json(*rows)
                            .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                            .c_str());
    return 0;
  }
  print_comparison(*rows, choice.markdown);
  for (const std::string& line : won_back_text(*rows)) std::printf("\n%s\n", line.c_str());
  return 0;
}

}  // namespace

void add_compare(CLI::App& app, int* exit_code) {
  auto choice = std::make_shared<CompareChoice>();
  CLI::App* command = app.add_subcommand("compare", "Compare models on a text");
  command->add_option("MODELS", choice->models, "GGUF files; the first is the reference")
      ->required();
  choice->judge.add_options(command);
  auto* json = command->add_flag("--json", choice->json, "Print a JSON array");
  command->add_flag("--markdown", choice->markdown, "Print a Markdown table")->excludes(json);
  command->footer(R"(Of three or more, the last is the one whose loss of perplexity the others shall
win back, as a model trained for its rounding (QAT) does against a plain one.
All are held in memory together.

Examples:
  nibble compare model-f16.gguf model-q8_0.gguf --text wiki.test.raw
  nibble compare f16.gguf qat-q4_0.gguf plain-q4_0.gguf --text stories.txt)");
  command->callback([choice, exit_code] { *exit_code = compare(*choice); });
}

}  // namespace nibble::cli
