// nibble tune: tries instruction-set levels and thread counts, and keeps what was fastest for
// loading. Read next: runtime/tuning.h, tuning_file.h.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "runtime/machine/topology.h"
#include "runtime/tuning.h"
#include "simd/cpu.h"
#include "tools/nibble/command.h"
#include "tools/nibble/signals.h"
#include "tools/nibble/table.h"
#include "tools/nibble/tuning_file.h"

namespace nibble::cli {
namespace {

constexpr const char* kExamples =
    R"(It takes some seconds; let nothing else run meanwhile. A model's answers do
not change with it. run, bench, perplexity and compare use it, unless -t, --isa
or --tune off say otherwise; nibble cpu shows it.

Examples:
  nibble tune
  nibble tune --json | jq .trials)";

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

void print_trials(const Tuning& tuning) {
  Table table({false, true, true, true});
  table.add({"level", "threads", "decode GB/s", "prompt GMAC/s"});
  for (const TuneTrial& trial : tuning.trials) {
    table.add({trial.isa, std::to_string(trial.threads), fixed(trial.decode_gb_per_s, 1),
               fixed(trial.prompt_gmac_per_s, 0)});
  }
  table.print();
  std::printf("\nChosen: %s\nKept in %s\n", tuning_text(tuning).c_str(), tuning_path().c_str());
}

int tune(bool as_json) {
  install_signal_handlers(2);
  Tuning tuning;
  const Topology topology = detect_topology();
  auto trials =
      run_tune_trials(topology, detect_cpu_features(), [] { return signal_exit_code() == 0; });
  if (!trials) return fail(trials.error());
  if (signal_exit_code() != 0) {
    fail({ErrorCode::kInterrupted, "stopped; nothing was kept"});
    return signal_exit_code();
  }
  tuning.trials = std::move(*trials);
  tuning.choice = choose_tuning(tuning.trials, topology.default_threads());
  if (const auto written = write_tuning(tuning); !written) return fail(written.error());
  if (as_json) {
    std::printf("%s\n", tuning_json(tuning).dump(1).c_str());
  } else {
    print_trials(tuning);
  }
  return 0;
}

}  // namespace

void add_tune(CLI::App& app, int* exit_code) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("tune", "Find and keep the fastest threads and instruction set");
  command->add_flag("--json", *as_json, "Print everything as JSON");
  command->footer(kExamples);
  command->callback([as_json, exit_code] { *exit_code = tune(*as_json); });
}

}  // namespace nibble::cli
