// nibble quantize IN OUT TYPE: a smaller file of the same model. Read next: quantizing.h.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "tools/nibble/command.h"
#include "tools/nibble/model_file.h"
#include "tools/nibble/quantizing.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  nibble quantize gemma-3-1b-f16.gguf gemma-3-1b-Q4_K_M.gguf Q4_K_M
  nibble quantize in.gguf out.gguf Q4_0 --imatrix in.imatrix.gguf --head Q8_0
  nibble quantize in.gguf out.gguf Q4_K_M --tensor-type ffn_down=Q6_K --dry-run

Types, by size: Q2_K  Q3_K_S Q3_K_M Q3_K_L  IQ4_XS IQ4_NL  Q4_0 Q4_1
  Q4_K_S Q4_K_M  Q5_0 Q5_1 Q5_K_S Q5_K_M  Q6_K  Q8_0  F16 BF16  F32)";

struct QuantizeCommand {
  std::string input;
  QuantizeChoice choice;
};

Result<void> quantize(const QuantizeCommand& command) {
  NIBBLE_TRY_VOID(check_quantize_options(command.choice));
  NIBBLE_TRY(const std::string input, model_file(command.input));
  NIBBLE_TRY(const GgufFile file, GgufFile::open(input));
  return run_quantization(file, command.choice, "quantising");
}

int run(const QuantizeCommand& command) {
  // The first signal ends the work within a slice of rows; a third one does so at once.
  install_signal_handlers(3);
  return quantize_exit_code(quantize(command));
}

}  // namespace

void add_quantize(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<QuantizeCommand>();
  CLI::App* command = app.add_subcommand("quantize", "Make a smaller file of a model");
  command->add_option("in", options->input, "GGUF file, best F16, BF16 or F32")
      ->required()
      ->type_name("IN");
  add_quantize_options(command, true, &options->choice);
  command->footer(kExamples);
  command->callback([options, exit_code] { *exit_code = run(*options); });
}

}  // namespace nibble::cli
