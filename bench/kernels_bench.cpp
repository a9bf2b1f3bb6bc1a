// Every kernel of the registry, timed alone.
//
// Figures are shares of limits measured at the start (runtime/machine/probe.h). How to run it and
// read it: bench/README.md. Read next: kernel_case.h (what is run).
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "bench/cycles.h"
#include "bench/kernel_case.h"
#include "bench/machine_facts.h"
#include "bench/model_shapes.h"
#include "bench/options.h"
#include "bench/pinning.h"
#include "bench/reporters.h"
#include "runtime/machine/probe.h"

namespace nibble {
namespace {

struct Bench {
  Options options;
  CpuFeatures features = detect_cpu_features();

  // From here on filled by begin(), when benchmarks are really run.
  size_t cold_bytes = 0;
  std::unique_ptr<ThreadTeam> team;
  std::optional<CycleCounter> cycles;
  double read_gb_per_s = 0;
  std::map<std::string_view, double> peak_gmac_per_s;  // by ISA level
  ErrorCode exit_code = ErrorCode{};

  // Of the last benchmark: Google Benchmark calls each several times until it takes long enough.
  std::string prepared;
  std::unique_ptr<KernelCase> current;
};

int fail(const Error& error) {
  std::fprintf(stderr, "kernels_bench: %s\n", error.message.c_str());
  return static_cast<int>(error.code);
}

std::string missing(const Kernel& kernel, CpuFeatures features) {
  std::string names = "this CPU lacks";
  for (std::string_view name : feature_names(kernel.level->required & ~features)) {
    names.append(" ").append(name);
  }
  return names;
}

double clock_seconds(clockid_t clock) {
  timespec time = {};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Makes the case and compares its kernel with the scalar one, unless that was done just before.
Result<void> prepare(Bench* bench, const CaseSpec& spec) {
  if (bench->prepared == spec.name) return {};
  bench->prepared.clear();
  bench->current.reset();  // gives its memory back first
  try {
    bench->current = spec.make(spec.cold ? bench->cold_bytes : 0, bench->team->size());
    NIBBLE_TRY_VOID(bench->current->prepare(bench->team.get()));
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOs, "not enough memory for the operands"};
  }
  if (!bench->current->equals_scalar()) {
    return Error{ErrorCode::kInternal, "differs from the scalar kernel"};
  }
  bench->prepared = spec.name;
  return {};
}

void run_case(benchmark::State& state, Bench* bench, const Kernel& kernel, const CaseSpec& spec) {
  if (const Result<void> made = prepare(bench, spec); !made.ok()) {
    bench->exit_code = made.error().code;
    return state.SkipWithError(made.error().message.c_str());
  }
  KernelCase& c = *bench->current;
  ThreadTeam& team = *bench->team;
  const size_t calls = c.calls_at_once();
  // The CPU seconds of one thread are not stretched by other programs; with more threads it is the
  // wall that counts.
  const clockid_t clock = team.size() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  size_t done = 0;
  bench->cycles->start();
  const double start = clock_seconds(clock);
  while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(calls))) {
    team.run([&](int worker) { c.run(worker, done, calls); });
    done += calls;
  }
  const double total = clock_seconds(clock) - start;
  const CycleCounter::Counts counts = bench->cycles->stop(total);

  const Work work = c.work();
  const double seconds = total / static_cast<double>(done);
  if (work.bytes > 0) state.counters["GB/s"] = work.bytes / seconds * 1e-9;
  if (work.macs > 0) state.counters["GMAC/s"] = work.macs / seconds * 1e-9;
  if (spec.cold) {
    state.counters["%read"] = 100 * work.bytes / seconds * 1e-9 / bench->read_gb_per_s;
  } else if (work.int8) {
    const double peak = bench->peak_gmac_per_s.at(kernel.level->name);
    state.counters["%peak"] = 100 * work.macs / seconds * 1e-9 / peak;
  }
  const double elements = work.elements * static_cast<double>(done);
  if (elements > 0 && !bench->cycles->unit().empty()) {
    const char* per = work.weights ? "/weight" : "/elem";
    state.counters[bench->cycles->unit() + per] = counts.cycles / elements;
  }
  if (elements > 0 && work.weights && counts.instructions > 0) {
    state.counters["instr/block"] = counts.instructions / elements * NIBBLE_BLOCK;
  }
}

struct Entry {
  const Kernel* kernel;
  CaseSpec spec;
  size_t index;  // among the kernel's cases
};

// Every case of every kernel, those that compare beside one another: hot before cold, then by op,
// format and size, and last by ISA level.
std::vector<Entry> all_entries(const std::vector<MatmulShape>& shapes) {
  std::vector<Entry> entries;
  std::set<std::string> names;
  for (const Kernel& kernel : all_kernels()) {  // by ascending level
    size_t index = 0;
    for (CaseSpec& spec : cases_for(kernel, shapes)) {
      // A second kernel of one op, format and level differs in its layout.
      if (!names.insert(spec.name).second) {
        spec.name.append("/").append(layout_name(kernel.entry->layout));
        names.insert(spec.name);
      }
      entries.push_back({&kernel, spec, index++});
    }
  }
  const auto key = [](const Entry& entry) {
    const KernelEntry& kernel = *entry.kernel->entry;
    return std::make_tuple(entry.spec.cold, kernel.op, kernel.format, entry.index);
  };
  std::stable_sort(entries.begin(), entries.end(),
                   [&](const Entry& a, const Entry& b) { return key(a) < key(b); });
  return entries;
}

void register_kernels(Bench* bench, const std::vector<MatmulShape>& shapes) {
  for (const Entry& entry : all_entries(shapes)) {
    const Kernel& kernel = *entry.kernel;
    const bool usable = (kernel.level->required & ~bench->features) == 0;
    if (!usable && entry.index > 0) continue;  // one line tells it
    const auto run = [bench, &kernel, usable, spec = entry.spec](benchmark::State& state) {
      if (!usable) return state.SkipWithError(missing(kernel, bench->features).c_str());
      run_case(state, bench, kernel, spec);
    };
    benchmark::RegisterBenchmark(entry.spec.name.c_str(), run);
  }
}

Result<std::vector<MatmulShape>> choose_shapes(const Options& options) {
  const std::vector<size_t> tokens = {1, 4, 16, 256};
  std::vector<MatmulShape> shapes;
  if (!options.model.empty()) {
    std::vector<std::string> notes;
    NIBBLE_TRY(shapes, model_shapes(options.model, tokens, &notes));
    for (const std::string& note : notes) std::fprintf(stderr, "kernels_bench: %s\n", note.c_str());
    return shapes;
  }
  for (const Shape& shape : options.shapes) {
    const MatmulShape wanted = {shape, {}, true};
    if (std::find(shapes.begin(), shapes.end(), wanted) == shapes.end()) shapes.push_back(wanted);
  }
  if (!shapes.empty()) return shapes;
  for (const size_t m : tokens) {  // the feed-forward matrices of Gemma 3 1B
    shapes.push_back({{m, 6912, 1152}, {}});
    shapes.push_back({{m, 1152, 6912}, {}});
  }
  return shapes;
}

std::string rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", value);
  return text;
}

// Output, threads, limits and the context that every result is read with.
Result<void> begin(Bench* bench, Facts* facts, JsonLines* lines) {
  const std::string& jsonl = bench->options.jsonl;
  if (!jsonl.empty() && !lines->open(jsonl)) {
    return Error{ErrorCode::kCannotCreate,
                 "cannot write " + jsonl + "; give --jsonl a file in a folder that is there"};
  }
  const Topology topology = detect_topology();
  size_t cold_mib = bench->options.cold_mib;
  std::string note;
  if (cold_mib == 0) cold_mib = default_cold_mib(topology, &note);
  if (!note.empty()) std::fprintf(stderr, "kernels_bench: %s\n", note.c_str());
  bench->cold_bytes = cold_mib << 20;

  NIBBLE_TRY(bench->team, ThreadTeam::create(bench->options.threads));
  for (const std::string& line : bench->team->notes()) {
    std::fprintf(stderr, "kernels_bench: %s\n", line.c_str());
  }
  const int threads = bench->team->size();
  const std::vector<int> cpus = choose_cpus(topology, threads);
  *facts = machine_facts(topology, cpus);
  // The probes' threads inherit the caller's pin: a lone caller is pinned before them, a team
  // after.
  if (threads == 1) (*facts)["pinned_cpus"] = pin_team(bench->team.get(), cpus);
  NIBBLE_TRY(bench->read_gb_per_s, probe_read_gb_per_s(threads, bench->cold_bytes));
  (*facts)["read_gb_per_s"] = rounded(bench->read_gb_per_s);
  for (const IsaLevel& level : isa_levels()) {
    if ((level.required & ~bench->features) != 0) continue;
    const double peak = probe_int8_gmac_per_s(threads, level.required);
    bench->peak_gmac_per_s[level.name] = peak;
    (*facts)[std::string("peak_gmac_per_s_").append(level.name)] = rounded(peak);
  }
  if (threads > 1) (*facts)["pinned_cpus"] = pin_team(bench->team.get(), cpus);
  bench->cycles.emplace(threads);
  (*facts)["threads"] = std::to_string(threads);
  (*facts)["cold_mib"] = std::to_string(cold_mib);
  (*facts)["cycles"] = bench->cycles->about();
  return {};
}

int run(int argc, char** argv) {
  Bench bench;
  auto options = parse_options(&argc, argv);
  if (!options) return fail(options.error());
  bench.options = std::move(options).value();
  if (bench.options.help) {
    std::fputs(help_text(), stdout);
    return 0;
  }
  const auto shapes = choose_shapes(bench.options);
  if (!shapes) return fail(shapes.error());

  // Our defaults come first, so that the user's flags win. No path of this machine in the results.
  char name[] = "kernels_bench";
  char tabular[] = "--benchmark_counters_tabular=true";
  std::vector<char*> arguments = {name, tabular};
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) {
    return fail({ErrorCode::kUsage, "see --help for the flags there are"});
  }

  register_kernels(&bench, *shapes);
  JsonLines lines;
  DisplayReporter display(
      [&](Facts* facts) {
        const Result<void> begun = begin(&bench, facts, &lines);
        if (!begun) bench.exit_code = static_cast<ErrorCode>(fail(begun.error()));
        return begun.ok();
      },
      &lines);
  if (benchmark::RunSpecifiedBenchmarks(&display) == 0) {
    return fail({ErrorCode::kUsage, "nothing to run; --benchmark_list_tests lists the names"});
  }
  if (!lines.good()) {
    return fail(
        {ErrorCode::kIo, "writing " + bench.options.jsonl + " failed; is there room on the disk?"});
  }
  return static_cast<int>(bench.exit_code);
}

}  // namespace
}  // namespace nibble

int main(int argc, char** argv) {
  return nibble::run(argc, argv);
}
