// nibble convert HF_DIR OUT [TYPE]: a GGUF file of a model as Hugging Face has it. Read next:
// convert/convert.h, quantizing.h.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "tools/nibble/command.h"
#include "tools/nibble/convert/convert.h"
#include "tools/nibble/output.h"
#include "tools/nibble/quantizing.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  nibble convert gemma-3-1b-it gemma-3-1b-it-bf16.gguf
  nibble convert Llama-3.2-1B-Instruct llama-3.2-1b-Q4_K_M.gguf Q4_K_M
  nibble convert Qwen3-0.6B qwen3.gguf Q8_0 --head Q6_K --dry-run

DIR holds config.json, tokenizer.json and model.safetensors (or shards with
their index). Families: Gemma 3 (text), Llama, SmolLM2, Qwen 2, 2.5 and 3.)";

struct ConvertCommand {
  std::string folder;
  QuantizeChoice choice;
};

// Of the directory's files only the weights are still open when the output is written.
Result<void> refuse_model_file(const ConvertCommand& command) {
  namespace fs = std::filesystem;
  const fs::path output = command.choice.output;
  std::error_code ignored;
  const bool inside = fs::equivalent(output.has_parent_path() ? output.parent_path() : ".",
                                     command.folder, ignored);
  if (!inside || output.extension() == ".gguf" || !fs::exists(output, ignored)) return {};
  return Error{ErrorCode::kUsage, command.choice.output +
                                      ": is a file of the model itself, which would be lost; "
                                      "choose another name for the output"};
}

void adjust(const HfModel& model, QuantizePlan* plan) {
  plan->bytes = 0;
  for (TensorPlan& row : plan->tensors) {
    const auto change = model.changes.find(row.tensor->name);
    const bool changed = change != model.changes.end();
    if (changed) {
      row.paired_rows = change->second.paired_rows;
      row.added = change->second.added;
    }
    if (row.tensor->dims.size() == 1) {  // norms and biases are F32 in every GGUF file
      row.format = Format::kF32;
    } else if (changed && !row.format) {  // not copied as it is
      row.format = format_from_gguf(row.tensor->type_id);
    }
    if (row.format) {
      row.type_id = format_info(*row.format).gguf_id;
      row.bytes = row.tensor->rows() * row_bytes(*row.format, row.tensor->dims[0]);
    }
    plan->bytes += row.bytes;
  }
}

Result<void> convert(const ConvertCommand& command) {
  QuantizeChoice choice = command.choice;
  if (!choice.type.empty()) NIBBLE_TRY_VOID(check_quantize_options(choice));
  NIBBLE_TRY_VOID(refuse_model_file(command));
  NIBBLE_TRY(const HfModel model, open_hf_model(command.folder));
  for (const std::string& note : model.notes) print_note(note);
  if (choice.type.empty()) {
    choice.type = gguf_type_info(model.file.tensor("token_embd.weight")->type_id).name;
  }
  return run_quantization(model.file, choice, "converting",
                          [&](QuantizePlan* plan) { adjust(model, plan); });
}

int run(const ConvertCommand& command) {
  install_signal_handlers(3);
  return quantize_exit_code(convert(command));
}

}  // namespace

void add_convert(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<ConvertCommand>();
  CLI::App* command = app.add_subcommand("convert", "Make a GGUF file of a Hugging Face directory");
  command->add_option("dir", options->folder, "Directory of a model, with safetensors")
      ->required()
      ->type_name("DIR");
  add_quantize_options(command, false, &options->choice);
  command->footer(kExamples);
  command->callback([options, exit_code] { *exit_code = run(*options); });
}

}  // namespace nibble::cli
