// nibble imatrix MODEL OUT: measures which columns of the matrices matter, for `nibble quantize`.
// Read next: runtime/quantize/collect.h.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/model_impl.h"
#include "runtime/quantize/collect.h"
#include "tools/nibble/command.h"
#include "tools/nibble/loading.h"
#include "tools/nibble/number_options.h"
#include "tools/nibble/progress_bar.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  nibble imatrix model-f16.gguf model.imatrix.gguf --text calibration.txt
  nibble quantize model-f16.gguf out.gguf Q4_K_M --imatrix model.imatrix.gguf

The text should be like what the model will read: some 100 KiB of mixed prose,
dialogue and code. Use the model in F16 or BF16.)";

struct ImatrixCommand {
  std::string model;
  std::string output;
  std::string text;
  std::optional<int64_t> chunk;
  std::optional<int64_t> chunks;
  MachineChoice machine;
};

Result<std::string> read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  if (!in || text.empty()) {
    return Error{ErrorCode::kNoInput, path + ": cannot be read or is empty; give a text file"};
  }
  return text;
}

// The text in pieces of `size` tokens, each begun as the model wants texts begun.
std::vector<std::vector<int32_t>> cut(const Tokenizer& tokenizer, const std::string& text,
                                      size_t size) {
  const std::vector<int32_t> ids =
      tokenizer.encode(text, {.add_bos = false, .parse_special = false});
  const size_t first = tokenizer.adds_bos() && size > 1 ? 1 : 0;
  std::vector<std::vector<int32_t>> chunks;
  for (size_t at = 0; at < ids.size(); at += size - first) {
    std::vector<int32_t> chunk;
    if (first > 0) chunk.push_back(tokenizer.bos());
    const size_t end = std::min(ids.size(), at + size - first);
    chunk.insert(chunk.end(), ids.begin() + static_cast<ptrdiff_t>(at),
                 ids.begin() + static_cast<ptrdiff_t>(end));
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

Result<void> collect(const ImatrixCommand& command) {
  NIBBLE_TRY(const std::string text, read_text(command.text));
  LoadOptions load;
  load.head = HeadMode::kExact;
  load.memory_limit = command.machine.memory.value_or(0);
  load.session.context = command.chunk.value_or(512);
  NIBBLE_TRY(const LoadedModel loaded,
             load_model(command.model, command.machine.engine_options(), load));
  const Model::Impl& model = loaded.model->impl();
  const auto size = static_cast<size_t>(
      std::min<int64_t>(command.chunk.value_or(512), model.network.shape().context));
  std::vector<std::vector<int32_t>> chunks = cut(*model.tokenizer, text, size);
  if (chunks.empty()) {
    return Error{ErrorCode::kNoInput, command.text + ": has no tokens; give a text file"};
  }
  if (command.chunks && static_cast<size_t>(*command.chunks) < chunks.size()) {
    chunks.resize(static_cast<size_t>(*command.chunks));
  }
  NIBBLE_TRY(const auto collector, ImportanceCollector::create(loaded.model, size));
  size_t tokens = 0;
  {
    ProgressBar bar("measuring");
    for (size_t i = 0; i < chunks.size(); ++i) {
      collector->add(chunks[i]);
      tokens += chunks[i].size();
      bar.update(static_cast<double>(i + 1) / static_cast<double>(chunks.size()));
      if (signal_exit_code() != 0) {
        return Error{ErrorCode::kInterrupted, "stopped; nothing was written"};
      }
    }
  }
  NIBBLE_TRY_VOID(collector->write(command.output, command.text));
  std::printf("%s: %zu matrices, measured on %zu tokens in %zu chunks\n", command.output.c_str(),
              collector->matrices(), tokens, chunks.size());
  return {};
}

int run(const ImatrixCommand& command) {
  install_signal_handlers(3);
  const Result<void> result = collect(command);
  if (result) return 0;
  const int code = fail(result.error());
  return result.error().code == ErrorCode::kInterrupted ? signal_exit_code() : code;
}

}  // namespace

void add_imatrix(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<ImatrixCommand>();
  CLI::App* command =
      app.add_subcommand("imatrix", "Measure what matters most in a model, for quantize");
  command->add_option("model", options->model, "GGUF file")->required()->type_name("MODEL");
  command->add_option("out", options->output, "GGUF file to write")->required()->type_name("OUT");
  command->add_option("--text", options->text, "Text to measure on")
      ->required()
      ->type_name("FILE")
      ->configurable(false);
  add_whole(command, "-c,--context", &options->chunk, {2, 1 << 16},
            "Tokens the model sees at once (default 512)")
      ->configurable(false);
  add_whole(command, "--chunks", &options->chunks, {1, 1 << 30},
            "Stop after so many of these (default: the whole text)")
      ->configurable(false);
  options->machine.add_threads_option(command);
  options->machine.add_team_options(command);
  add_memory_option(command, &options->machine.memory, "Refuse a model that needs more (8G, 512M)");
  command->footer(kExamples);
  command->callback([options, exit_code] { *exit_code = run(*options); });
}

}  // namespace nibble::cli
