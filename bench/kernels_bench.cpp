// Every kernel of the registry, timed: matmul over shapes, element-wise kernels over one row.
//
// Figures are shares of limits measured at the start (runtime/machine/probe.h). How to run it and
// read it: bench/README.md. Read next: kernel_cases.h (what is run).
#include <benchmark/benchmark.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "bench/json_lines.h"
#include "bench/kernel_cases.h"
#include "runtime/machine/probe.h"
#include "runtime/machine/thread_team.h"

namespace nibble {
namespace {

// What the command line asks for.
struct Options {
  std::vector<Shape> shapes;
  int threads = 1;
  size_t cold_mib = 1024;
  std::string commit = "unknown";
};

struct Bench {
  Options options;
  CpuFeatures features = detect_cpu_features();
  std::unique_ptr<ThreadTeam> team;
  double read_gb_per_s = 0;
  std::map<std::string_view, double> peak_gmac_per_s;  // by ISA level
  MatmulCase matmul_case;                              // of the last benchmark; they come in runs
};

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

// Runs `fn` as often as `state` wants; seconds per run. With one thread they are its CPU seconds,
// which other programs on a busy machine do not stretch; with more, seconds on the wall.
template <typename F>
double timed(benchmark::State& state, int threads, const F& fn) {
  const clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  const double start = clock_seconds(clock);
  for (auto _ : state) fn();
  return (clock_seconds(clock) - start) / static_cast<double>(state.iterations());
}

void run_matmul(benchmark::State& state, Bench* bench, const Kernel* kernel, Shape shape,
                bool cold) {
  MatmulCase& c = bench->matmul_case;
  const size_t cold_bytes = cold ? bench->options.cold_mib << 20 : 0;
  if (const Result<void> made = c.prepare(*kernel, shape, cold_bytes); !made.ok()) {
    return state.SkipWithError(made.error().message.c_str());
  }
  if (!c.equals_scalar()) return state.SkipWithError("differs from the scalar kernel");

  size_t run = 0;
  const double seconds = timed(state, bench->team->size(), [&] {
    const size_t copy = run++ % c.copies();
    bench->team->run([&](int worker) {
      const Range rows = split_range(shape.n, kernel->entry->tile_n, worker, bench->team->size());
      if (!rows.empty()) c.multiply(copy, rows.begin, rows.end);
    });
  });
  const double gmac = static_cast<double>(shape.m * shape.n * shape.k) / seconds * 1e-9;
  const double gb = static_cast<double>(c.weight_bytes()) / seconds * 1e-9;
  state.counters["GMAC/s"] = gmac;
  if (kernel->entry->activation == Activation::kQ8) {
    state.counters["%peak"] = 100 * gmac / bench->peak_gmac_per_s.at(kernel->level->name);
  }
  state.counters["GB/s"] = gb;
  if (cold) state.counters["%read"] = 100 * gb / bench->read_gb_per_s;
}

void register_matmul(Bench* bench, const Kernel& kernel) {
  const bool scalar = kernel.level->name == "scalar";
  for (const Shape& shape : bench->options.shapes) {
    if (scalar && shape.m > 4) continue;  // minutes, and nobody waits for it
    for (const bool cold : {false, true}) {
      if (cold && shape.m > 8) continue;  // not limited by memory
      std::string name = "matmul/";
      name.append(kernel.entry->name).append("/").append(kernel.level->name).append("/");
      name.append(to_string(shape)).append(cold ? "/cold" : "/hot");
      const auto fn = [bench, k = &kernel, shape, cold](benchmark::State& state) {
        run_matmul(state, bench, k, shape, cold);
      };
      benchmark::RegisterBenchmark(name.c_str(), fn);
    }
  }
}

void register_row(const Kernel& kernel) {
  RowCase row(kernel);
  if (!row.known()) return;
  benchmark::RegisterBenchmark(row.name().c_str(), [k = &kernel](benchmark::State& state) {
    RowCase c(*k);
    const double seconds = timed(state, 1, [&] { c.run(); });
    state.counters["Gelem/s"] = static_cast<double>(c.elements()) / seconds * 1e-9;
    state.counters["GB/s"] = static_cast<double>(c.bytes()) / seconds * 1e-9;
  });
}

void register_kernel(Bench* bench, const Kernel& kernel) {
  if ((kernel.level->required & ~bench->features) != 0) {
    benchmark::RegisterBenchmark(kernel.id().c_str(), [bench, &kernel](benchmark::State& state) {
      state.SkipWithError(missing(kernel, bench->features).c_str());
    });
  } else if (kernel.entry->op == Op::kMatmul) {
    register_matmul(bench, kernel);
  } else {
    register_row(kernel);
  }
}

// The value of --name=value, or null when `arg` is something else.
const char* flag_value(const char* arg, const char* name) {
  const size_t length = std::strlen(name);
  return std::strncmp(arg, name, length) == 0 && arg[length] == '=' ? arg + length + 1 : nullptr;
}

// Takes our own flags out of argv; what is left is Google Benchmark's. False: a bad value.
bool parse(int* argc, char** argv, Options* options) {
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    if (const char* value = flag_value(argv[i], "--shape")) {
      Shape shape;
      if (std::sscanf(value, "%zu,%zu,%zu", &shape.m, &shape.n, &shape.k) != 3 || shape.m == 0 ||
          shape.n == 0 || shape.k == 0 || shape.k % NIBBLE_BLOCK != 0) {
        std::fprintf(stderr, "--shape=%s: want M,N,K, all above 0, K a multiple of 32\n", value);
        return false;
      }
      options->shapes.push_back(shape);
    } else if (const char* threads = flag_value(argv[i], "--threads")) {
      options->threads = std::atoi(threads);
    } else if (const char* mib = flag_value(argv[i], "--cold-mib")) {
      options->cold_mib = std::strtoul(mib, nullptr, 10);
    } else if (const char* commit = flag_value(argv[i], "--commit")) {
      options->commit = commit;
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  if (options->threads < 1 || options->cold_mib < 1) {
    std::fprintf(stderr, "--threads and --cold-mib must be at least 1\n");
    return false;
  }
  if (options->shapes.empty()) {  // the feed-forward matrices of Gemma 3 1B
    for (size_t m : {1, 4, 16, 256}) {
      options->shapes.push_back({m, 6912, 1152});
      options->shapes.push_back({m, 1152, 6912});
    }
  }
  return true;
}

Result<void> measure_limits(Bench* bench) {
  NIBBLE_TRY(bench->team, ThreadTeam::create(bench->options.threads));
  const int threads = bench->team->size();
  NIBBLE_TRY(bench->read_gb_per_s, probe_read_gb_per_s(threads, bench->options.cold_mib << 20));
  benchmark::AddCustomContext("read_gb_per_s", std::to_string(bench->read_gb_per_s));
  for (const IsaLevel& level : isa_levels()) {
    if ((level.required & ~bench->features) != 0) continue;
    const double peak = probe_int8_gmac_per_s(threads, level.required);
    bench->peak_gmac_per_s[level.name] = peak;
    benchmark::AddCustomContext(std::string("peak_gmac_per_s_").append(level.name),
                                std::to_string(peak));
  }
  return {};
}

int run(int argc, char** argv) {
  Bench bench;
  if (!parse(&argc, argv, &bench.options)) return 64;
  bool to_file = false;
  for (int i = 1; i < argc; ++i) to_file |= flag_value(argv[i], "--benchmark_out") != nullptr;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  if (const Result<void> limits = measure_limits(&bench); !limits.ok()) {
    std::fprintf(stderr, "%s\n", limits.error().message.c_str());
    return static_cast<int>(limits.error().code);
  }
  const nlohmann::json about = {{"cpu", cpu_brand()},
                                {"compiler", __VERSION__},
                                {"version", NIBBLE_VERSION},
                                {"commit", bench.options.commit},
                                {"threads", bench.team->size()},
                                {"read_gb_per_s", bench.read_gb_per_s}};
  for (const auto& [key, value] : about.items()) {
    if (key != "read_gb_per_s") {
      benchmark::AddCustomContext(key, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  for (const Kernel& kernel : all_kernels()) register_kernel(&bench, kernel);
  benchmark::ConsoleReporter console(benchmark::ConsoleReporter::OO_None);
  JsonLines lines(about);
  benchmark::RunSpecifiedBenchmarks(&console, to_file ? &lines : nullptr);
  return 0;
}

}  // namespace
}  // namespace nibble

int main(int argc, char** argv) {
  return nibble::run(argc, argv);
}
