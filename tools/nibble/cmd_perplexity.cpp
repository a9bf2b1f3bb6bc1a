// nibble perplexity: how well a model predicts a text, and how far its predictions are from a
// reference's that were saved before. Read next: judging.h, runtime/judge/reference_file.h.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/file/concat.h"
#include "runtime/judge/reference_file.h"
#include "tools/nibble/command.h"
#include "tools/nibble/judging.h"
#include "tools/nibble/signals.h"
#include "tools/nibble/table.h"

namespace nibble::cli {
namespace {

struct PerplexityChoice {
  std::string model;
  JudgeChoice judge;
  std::string save;       // --kl-base
  std::string reference;  // --kl
  bool json = false;
};

struct Verdict {
  std::string model;
  Chunks chunks;
  std::vector<double> nlls;
  double tokens_per_s = 0;
  std::string reference;  // the name of the model compared with
  Divergence divergence;  // empty without a reference
};

// The chunks of the reference, if they are what was asked for and `model` can be compared on them.
Result<Chunks> chunks_of_reference(const PerplexityChoice& choice, const Model& model,
                                   const ReferenceHeader& header) {
  const auto differs = [&](const std::string& what) {
    return Error{ErrorCode::kData, concat(choice.reference, " was made with ", what)};
  };
  if (header.vocabulary_hash != vocabulary_hash(model)) {
    return differs(concat("another vocabulary (", header.vocabulary, " tokens, of ", header.model,
                          ") than that of ", model.path(), " (", model.vocabulary_size(),
                          "); predictions do not compare"));
  }
  if (header.vocabulary != static_cast<size_t>(model.vocabulary_size())) {
    return differs("a damaged header; make it again");
  }
  Chunks chunks = header.chunks;
  if (choice.judge.ctx && static_cast<size_t>(*choice.judge.ctx) != chunks.ctx) {
    return differs(concat("--ctx ", chunks.ctx, "; leave --ctx out or make it again"));
  }
  NIBBLE_TRY_VOID(check_ctx(model, chunks.ctx));
  if (!choice.judge.text.empty()) {
    NIBBLE_TRY(const std::string text, choice.judge.read());
    NIBBLE_TRY(const Chunks own, cut_text(model, text, chunks.ctx, chunks.count()));
    if (own.ids != chunks.ids) {
      return differs(concat("another text than ", choice.judge.text,
                            "; leave --text out to read that of the reference"));
    }
  }
  const size_t most = choice.judge.most_chunks();
  if (most > 0 && most < chunks.count()) chunks.ids.resize(most * chunks.ctx);
  return chunks;
}

Result<Chunks> chunks_of_text(const PerplexityChoice& choice, const Model& model) {
  NIBBLE_TRY(const std::string text, choice.judge.read());
  return cut_text(model, text, choice.judge.ctx_for(model), choice.judge.most_chunks());
}

Result<ReferenceWriter> create_reference(const std::string& path, const Model& model,
                                         const Chunks& chunks) {
  return ReferenceWriter::create(path,
                                 {short_name(model), static_cast<size_t>(model.vocabulary_size()),
                                  vocabulary_hash(model), chunks});
}

// What became of the rows of one slice, which threads share.
class RowErrors {
 public:
  explicit RowErrors(size_t rows) : errors_(rows) {}
  void set(size_t row, const Error& error) { errors_[row] = error; }
  Result<void> first() const {
    for (const auto& error : errors_) {
      if (error) return *error;
    }
    return {};
  }

 private:
  std::vector<std::optional<Error>> errors_;
};

Result<void> save_slice(const Examination& examination, const ReferenceWriter& writer, size_t first,
                        size_t rows) {
  const Examinee& own = *examination.examinees().front();
  RowErrors errors(rows);
  examination.each_row(rows, [&](size_t row) {
    const auto written = writer.write(first + row, own.logits(row), own.prediction(row));
    if (!written) errors.set(row, written.error());
  });
  return errors.first();
}

Result<void> compare_slice(const Examination& examination, const ReferenceReader& reader,
                           size_t first, size_t rows, Divergence* divergence) {
  const Examinee& own = *examination.examinees().front();
  RowErrors errors(rows);
  std::vector<Prediction> references(rows);
  std::vector<double> kl(rows);
  examination.each_row(rows, [&](size_t row) {
    std::vector<float> logits(own.vocabulary());
    const auto reference = reader.read(first + row, logits);
    if (!reference) return errors.set(row, reference.error());
    references[row] = *reference;
    kl[row] = kl_divergence(logits, *reference, own.logits(row), own.prediction(row));
  });
  NIBBLE_TRY_VOID(errors.first());
  for (size_t row = 0; row < rows; ++row) {
    divergence->add(kl[row], references[row], own.prediction(row));
  }
  reader.release_before(first + rows);
  return {};
}

Result<Verdict> judge(const PerplexityChoice& choice) {
  std::optional<ReferenceReader> reader;
  if (!choice.reference.empty()) {
    NIBBLE_TRY(reader, ReferenceReader::open(choice.reference));
  }
  if (!reader && choice.judge.text.empty()) return choice.judge.read().error();
  NIBBLE_TRY(const LoadedModel loaded,
             load_model(choice.model, choice.judge.machine.engine_options(),
                        choice.judge.load_options(HeadMode::kExact)));
  const Model& model = *loaded.model;
  Verdict verdict;
  verdict.model = short_name(model);
  NIBBLE_TRY(verdict.chunks, reader ? chunks_of_reference(choice, model, reader->header())
                                    : chunks_of_text(choice, model));
  Examination examination(loaded.engine);
  NIBBLE_TRY_VOID(
      examination.add(loaded.model, choice.judge.machine.session_options(), verdict.chunks.ctx));
  std::optional<ReferenceWriter> writer;
  if (!choice.save.empty()) {
    NIBBLE_TRY(writer, create_reference(choice.save, model, verdict.chunks));
  }
  NIBBLE_TRY_VOID(read_chunks(&examination, verdict.chunks,
                              [&](size_t first, std::span<const int32_t> next) -> Result<void> {
                                if (writer)
                                  return save_slice(examination, *writer, first, next.size());
                                if (!reader) return {};
                                return compare_slice(examination, *reader, first, next.size(),
                                                     &verdict.divergence);
                              }));
  if (writer) NIBBLE_TRY_VOID(writer->commit());
  if (reader) verdict.reference = reader->header().model;
  verdict.nlls = examination[0].nlls();
  verdict.tokens_per_s = examination[0].tokens_per_s();
  return verdict;
}

void print_json(const Verdict& verdict) {
  const Estimate perplexity = perplexity_of(verdict.nlls);
  nlohmann::ordered_json json = {{"model", verdict.model},
                                 {"perplexity", perplexity.value},
                                 {"stderr", perplexity.error},
                                 {"tokens", verdict.nlls.size()},
                                 {"ctx", verdict.chunks.ctx},
                                 {"chunks", verdict.chunks.count()},
                                 {"tokens_per_s", verdict.tokens_per_s}};
  if (!verdict.divergence.kl.empty()) {
    json["reference"] = verdict.reference;
    json["reference_perplexity"] = perplexity_of(verdict.divergence.reference_nll).value;
    json["kl"] = divergence_json(summarise(verdict.divergence));
  }
  std::printf("%s\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

void print_text(const Verdict& verdict) {
  Table table({false, true, false});
  const auto add = [&table](const char* what, const char* pattern, double value,
                            const std::string& more) {
    table.add({what, formatted(pattern, value), more});
  };
  const auto error = [](const char* pattern, double value) {
    return "+- " + formatted(pattern, value);
  };
  const Estimate perplexity = perplexity_of(verdict.nlls);
  add("perplexity", "%.4f", perplexity.value, error("%.4f", perplexity.error));
  if (!verdict.divergence.kl.empty()) {
    const DivergenceSummary summary = summarise(verdict.divergence);
    const Estimate& ratio = summary.perplexity_ratio;
    add("of the reference", "%.4f", perplexity_of(verdict.divergence.reference_nll).value,
        verdict.reference);
    add("ratio", "%.5f", ratio.value, error("%.5f", ratio.error));
    add("KL divergence, mean", "%.6f", summary.mean.value, error("%.6f", summary.mean.error));
    add("  median", "%.6f", summary.median, "");
    add("  90 %", "%.6f", summary.p90, "");
    add("  99 %", "%.6f", summary.p99, "");
    add("  largest", "%.6f", summary.most, "");
    add("same likeliest token, %", "%.3f", 100 * summary.same_top.value,
        error("%.3f", 100 * summary.same_top.error));
  }
  std::printf("%s: %zu chunks of %zu tokens, %zu predictions, %.0f tokens/s\n\n",
              verdict.model.c_str(), verdict.chunks.count(), verdict.chunks.ctx,
              verdict.nlls.size(), verdict.tokens_per_s);
  table.print();
}

int perplexity(const PerplexityChoice& choice) {
  install_signal_handlers(2);
  const auto verdict = judge(choice);
  if (!verdict) {
    const int code = fail(verdict.error());
    return signal_exit_code() != 0 ? signal_exit_code() : code;
  }
  choice.json ? print_json(*verdict) : print_text(*verdict);
  return 0;
}

}  // namespace

void add_perplexity(CLI::App& app, int* exit_code) {
  auto choice = std::make_shared<PerplexityChoice>();
  CLI::App* command = app.add_subcommand("perplexity", "Measure how well a model predicts a text");
  command->add_option("MODEL", choice->model, "A GGUF file")->required();
  choice->judge.add_options(command);
  auto* save = command
                   ->add_option("--kl-base", choice->save,
                                "Save the predictions, as the reference of others")
                   ->type_name("FILE")
                   ->configurable(false);
  command->add_option("--kl", choice->reference, "Compare with saved predictions (KL divergence)")
      ->type_name("FILE")
      ->configurable(false)
      ->excludes(save);
  command->add_flag("--json", choice->json, "Print a JSON object");
  command->footer(R"(As llama.cpp defines it: each chunk from BOS, its second half is predicted.

Examples:
  nibble perplexity model.gguf --text wiki.test.raw
  nibble perplexity model-f16.gguf --text wiki.test.raw --kl-base f16.kl
  nibble perplexity model-q4_0.gguf --kl f16.kl)");
  command->callback([choice, exit_code] { *exit_code = perplexity(*choice); });
}

}  // namespace nibble::cli
