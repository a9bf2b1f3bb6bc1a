#include "tools/nibble/quantizing.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>

#include "runtime/machine/topology.h"
#include "simd/cpu.h"
#include "tools/nibble/command.h"
#include "tools/nibble/number_options.h"
#include "tools/nibble/progress_bar.h"
#include "tools/nibble/quantize_report.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

std::string mix_names() {
  std::string names;
  for (const Mix& mix : mixes()) names += (names.empty() ? "" : ", ") + std::string(mix.name);
  return names;
}

Result<Format> parse_format(const std::string& option, const std::string& name) {
  if (const std::optional<Format> format = find_quantized_format(name)) return *format;
  return Error{ErrorCode::kUsage,
               option + ": '" + name +
                   "' is not a tensor's type; choose F32, F16, BF16, Q8_0, "
                   "Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K or IQ4_XS"};
}

Result<TensorRule> parse_rule(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    return Error{ErrorCode::kUsage,
                 "--tensor-type: '" + text + "' must be REGEX=TYPE, for example ffn_down=Q6_K"};
  }
  constexpr size_t kLongest = 256;  // std::regex recurses for each parenthesis
  if (equals > kLongest) {
    return Error{ErrorCode::kUsage, "--tensor-type: a regular expression of " +
                                        std::to_string(equals) + " characters, at most " +
                                        std::to_string(kLongest)};
  }
  TensorRule rule;
  rule.text = text;
  NIBBLE_TRY(rule.format, parse_format("--tensor-type", text.substr(equals + 1)));
  try {
    rule.name.assign(text.substr(0, equals));
  } catch (const std::regex_error&) {
    return Error{ErrorCode::kUsage, "--tensor-type: '" + text.substr(0, equals) +
                                        "' is not a regular expression (ECMAScript)"};
  }
  return rule;
}

Result<QuantizeOptions> parse_options(const QuantizeChoice& choice) {
  QuantizeOptions options;
  options.mix = find_mix(choice.type);
  if (options.mix == nullptr) {
    return Error{ErrorCode::kUsage, "unknown type '" + choice.type + "'; known: " + mix_names()};
  }
  for (const std::string& text : choice.rules) {
    NIBBLE_TRY(TensorRule rule, parse_rule(text));
    options.rules.push_back(std::move(rule));
  }
  if (!choice.head.empty()) {
    NIBBLE_TRY(options.head, parse_format("--head", choice.head));
  }
  return options;
}

void print(const QuantizeChoice& choice, const QuantizeSummary& summary) {
  if (choice.json) {
    const auto replace = nlohmann::json::error_handler_t::replace;
    std::printf("%s\n", quantize_json(summary).dump(1, ' ', false, replace).c_str());
  } else {
    print_quantize_table(summary, choice.dry_run || choice.tensors);
  }
}

}  // namespace

void add_quantize_options(CLI::App* command, bool type_required, QuantizeChoice* choice) {
  command->add_option("out", choice->output, "GGUF file to write")->required()->type_name("OUT");
  command
      ->add_option("type", choice->type,
                   type_required ? "The mix of types, for example Q4_K_M"
                                 : "The mix of types (default: as stored, mostly BF16)")
      ->required(type_required)
      ->type_name("TYPE");
  command
      ->add_option("--tensor-type", choice->rules, "Another type for the tensors it names; repeat")
      ->option_text("REGEX=TYPE")
      ->allow_extra_args(false)
      ->configurable(false);
  command->add_option("--head", choice->head, "Another type for embedding and output head")
      ->type_name("TYPE")
      ->configurable(false);
  command->add_option("--imatrix", choice->importance, "Importances of columns, .gguf or .dat")
      ->type_name("FILE")
      ->configurable(false);
  add_whole(command, "-t,--threads", &choice->threads, {1, 1024},
            "Threads (default: the performance cores it may use)");
  command->add_flag("--dry-run", choice->dry_run, "Print what would become of each tensor")
      ->configurable(false);
  command->add_flag("--tensors", choice->tensors, "List every tensor with its error");
  command->add_flag("--json", choice->json, "Print everything as JSON");
}

Result<void> check_quantize_options(const QuantizeChoice& choice) {
  NIBBLE_TRY(const QuantizeOptions options, parse_options(choice));
  return {};
}

Result<void> run_quantization(const GgufFile& file, const QuantizeChoice& choice,
                              const std::string& label, const AdjustPlan& adjust) {
  NIBBLE_TRY(QuantizeOptions options, parse_options(choice));
  if (file.is_input(choice.output)) {
    return Error{ErrorCode::kUsage, choice.output +
                                        ": is the input itself, which would be lost; choose "
                                        "another name for the output"};
  }
  std::optional<ImportanceMatrix> importance;
  if (!choice.importance.empty()) {
    NIBBLE_TRY(importance, ImportanceMatrix::open(choice.importance));
    options.importance = &*importance;
  }
  const KernelSet kernels(detect_cpu_features());
  NIBBLE_TRY(QuantizePlan plan, plan_quantization(file, options, kernels));
  if (adjust) adjust(&plan);

  QuantizeSummary summary;
  summary.file = &file;
  summary.plan = &plan;
  summary.mix = options.mix->name;
  print_quantize_notes(summary);
  if (choice.dry_run) {
    print(choice, summary);
    return {};
  }
  const int threads = static_cast<int>(choice.threads.value_or(0));
  NIBBLE_TRY(
      const std::unique_ptr<ThreadTeam> team,
      ThreadTeam::create(threads > 0 ? threads : detect_topology().default_prompt_threads()));
  const auto start = std::chrono::steady_clock::now();
  std::vector<TensorLoss> losses;
  {
    ProgressBar bar(label);
    options.progress = [&bar](double fraction) {
      bar.update(fraction);
      return signal_exit_code() == 0;
    };
    NIBBLE_TRY(losses, quantize_model(file, plan, options, *team, kernels, choice.output));
  }
  summary.output = choice.output;
  summary.losses = losses;
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  print(choice, summary);
  return {};
}

int quantize_exit_code(const Result<void>& result) {
  if (result) return 0;
  const int code = fail(result.error());
  return result.error().code == ErrorCode::kInterrupted ? signal_exit_code() : code;
}

}  // namespace nibble::cli
