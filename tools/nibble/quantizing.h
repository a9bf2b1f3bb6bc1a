// What `nibble quantize` and `nibble convert` share: the options, the work with its progress bar,
// the report. Read next: quantize_report.h, runtime/quantize/quantize_model.h.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "runtime/quantize/quantize_model.h"
#include "tools/nibble/command.h"

namespace nibble::cli {

struct QuantizeChoice {
  std::string output;
  std::string type;
  std::vector<std::string> rules;
  std::string head;
  std::string importance;
  std::optional<int64_t> threads;
  bool dry_run = false;
  bool json = false;
  bool tensors = false;
};

// Adds OUT, TYPE and the options.
void add_quantize_options(CLI::App* command, bool type_required, QuantizeChoice* choice);

// Quantises a file as chosen: plans, says what a person should know, writes, reports. `adjust` may
// change the plan. Errors: those of plan_quantization() and quantize_model(), and 64 for options
// that cannot be meant. Needs install_signal_handlers().
using AdjustPlan = std::function<void(QuantizePlan* plan)>;
Result<void> run_quantization(const GgufFile& file, const QuantizeChoice& choice,
                              const std::string& label, const AdjustPlan& adjust = {});

// Error 64 for options that cannot be meant, before a large file is opened.
Result<void> check_quantize_options(const QuantizeChoice& choice);

// The exit code of a command, its error printed.
int quantize_exit_code(const Result<void>& result);

}  // namespace nibble::cli
