// nibble tune: tries instruction-set levels and thread counts, and keeps what was fastest for
// loading. Read next: runtime/tuning.h, tuning_file.h.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "runtime/machine/condition.h"
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
    R"(It takes some seconds; what was timed while other programs were busy is not
kept. A model's answers do not change with it. run, bench, perplexity and compare
use it, unless -t, --isa or --tune off say otherwise; nibble cpu shows it.

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

// A twentieth of the time is a desktop at rest with its browser open.
constexpr double kBusy = 0.1;

double own_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

int tune(bool as_json, bool anyway) {
  install_signal_handlers(2);
  const std::optional<CpuTicks> before = read_cpu_ticks();
  Tuning tuning;
  const Topology topology = detect_topology();
  auto trials =
      run_tune_trials(topology, detect_cpu_features(), [] { return signal_exit_code() == 0; });
  if (!trials) return fail(trials.error());
  if (signal_exit_code() != 0) {
    fail({ErrorCode::kInterrupted, "stopped; nothing was kept"});
    return signal_exit_code();
  }
  const std::optional<CpuTicks> after = read_cpu_ticks();
  const double others = before && after ? others_share(*before, *after, own_cpu_seconds()) : 0;
  if (others > kBusy && !anyway) {
    return fail(
        {ErrorCode::kUnavailable, "other programs took " + fixed(100 * others, 0) +
                                      " % of the CPUs' time meanwhile, so nothing was kept; "
                                      "stop them and try again, or keep it with --anyway"});
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
  auto anyway = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("tune", "Find and keep the fastest threads and instruction set");
  command->add_flag("--json", *as_json, "Print everything as JSON");
  command->add_flag("--anyway", *anyway, "Keep the answer even if other programs were busy");
  command->footer(kExamples);
  command->callback([=] { *exit_code = tune(*as_json, *anyway); });
}

}  // namespace nibble::cli
