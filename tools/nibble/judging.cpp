#include "tools/nibble/judging.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tools/nibble/number_options.h"
#include "tools/nibble/progress_bar.h"
#include "tools/nibble/signals.h"
#include "tools/nibble/text_file.h"

namespace nibble::cli {
namespace {

constexpr int64_t kUsualCtx = 512;
constexpr size_t kTextMebibytesMax = 1024;

std::string perplexities(const Examination& examination) {
  std::string text = "perplexity";
  for (const auto& examinee : examination.examinees()) {
    text += formatted(" %.4f", std::exp(examinee->mean_nll()));
  }
  return text;
}

}  // namespace

void JudgeChoice::add_options(CLI::App* command) {
  command->add_option("--text", text, "The text to predict (-: standard input)")
      ->type_name("FILE")
      ->configurable(false);
  add_whole(command, "--ctx", &ctx, {static_cast<int64_t>(Chunks::kLeastCtx), int64_t{1} << 24},
            "Tokens of a chunk, read alone (default 512)");
  add_whole(command, "--chunks", &chunks, {1, int64_t{1} << 31},
            "Read so many chunks at most (default: all)");
  machine.add_threads_option(command);
  machine.add_options(command);
}

LoadOptions JudgeChoice::load_options(HeadMode head) const {
  LoadOptions options = machine.load_options();
  options.head = head;
  options.session.context = ctx.value_or(kUsualCtx);
  options.reserved_bytes = Examinee::kSliceBytes;
  return options;
}

size_t JudgeChoice::ctx_for(const Model& model) const {
  return static_cast<size_t>(ctx.value_or(std::min(kUsualCtx, model.context_length())));
}

Result<std::string> JudgeChoice::read() const {
  if (text.empty()) return Error{ErrorCode::kUsage, "name the text to predict: --text FILE"};
  return read_text(text, kTextMebibytesMax);
}

Result<void> read_chunks(Examination* examination, const Chunks& chunks,
                         const Examination::OnSlice& on_slice) {
  std::vector<Session*> sessions;
  for (const auto& examinee : examination->examinees()) sessions.push_back(&examinee->session());
  const CancelOnSignal cancel(std::move(sessions));
  examination->stop_when([] { return signal_exit_code() != 0; });
  ProgressBar bar("reading");
  for (size_t i = 0; i < chunks.count(); ++i) {
    NIBBLE_TRY_VOID(examination->read(chunks, i, on_slice));
    bar.update(static_cast<double>(i + 1) / static_cast<double>(chunks.count()),
               perplexities(*examination));
  }
  return {};
}

std::string short_name(const Model& model) {
  const std::string& path = model.path();
  std::string name = path.substr(path.find_last_of('/') + 1);
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name;
}

std::string formatted(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), pattern, value);
  return text;
}

nlohmann::ordered_json divergence_json(const DivergenceSummary& summary) {
  return {{"mean", summary.mean.value},
          {"mean_stderr", summary.mean.error},
          {"median", summary.median},
          {"p90", summary.p90},
          {"p99", summary.p99},
          {"max", summary.most},
          {"same_top", summary.same_top.value},
          {"same_top_stderr", summary.same_top.error},
          {"perplexity_ratio", summary.perplexity_ratio.value},
          {"perplexity_ratio_stderr", summary.perplexity_ratio.error}};
}

}  // namespace nibble::cli
