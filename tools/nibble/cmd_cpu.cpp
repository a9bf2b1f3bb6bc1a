// nibble cpu: what this machine is, what of it may be used, and which kernel each operation gets.
// Read next: runtime/machine/topology.h, simd/registry.h.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "runtime/machine/condition.h"
#include "runtime/machine/memory.h"
#include "runtime/machine/node_arena.h"
#include "runtime/machine/probe.h"
#include "runtime/machine/thermals.h"
#include "runtime/machine/topology.h"
#include "simd/format.h"
#include "simd/registry.h"
#include "tools/nibble/board.h"
#include "tools/nibble/command.h"
#include "tools/nibble/table.h"
#include "tools/nibble/tuning_file.h"

namespace nibble::cli {
namespace {

using nlohmann::json;

constexpr const char* kExamples = R"(Examples:
  nibble cpu                     features, topology, limits and the kernel of each operation
  nibble cpu --isa avx2          what would be used if AVX2 were the best there is
  nibble cpu --probe             also measures memory bandwidth and int8 speed
  nibble cpu --json | jq .topology.default_threads)";

struct CpuOptions {
  std::string isa;
  bool as_json = false;
  bool kernels = false;
  bool probe = false;
};

// The kernel that an operation on a format gets.
struct Choice {
  Op op;
  Format format;
  const Kernel* kernel;
  std::string reason;
};

struct Probe {
  int threads = 0;
  double read_gb_per_s = 0;
  double int8_gmac_per_s = 0;
};

// Whether memory that is wanted on a node comes from there.
struct NodeProbe {
  int node = 0;  // the system's number
  PageSample sample;
  std::string name;
  std::string text;
};

struct Report {
  std::string isa;
  CpuFeatures detected = 0;
  CpuFeatures usable = 0;  // those of the forced level, or all
  Topology topology;
  Thermals thermals;
  std::string huge_pages;  // "always", "madvise", "never" or "unknown"
  std::vector<Choice> choices;
  std::vector<Probe> probes;
  std::optional<Tuning> tuning;
  std::string tuning_note;       // why a record is ignored
  std::vector<NodeProbe> nodes;  // where there are several
};

std::vector<std::string_view> missing(const IsaLevel& level, CpuFeatures features) {
  return feature_names(level.required & ~features);
}

std::string join(const std::vector<std::string_view>& words) {
  std::string text;
  for (const std::string_view word : words) text += (text.empty() ? "" : " ") + std::string(word);
  return text;
}

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::vector<Choice> choose_kernels(CpuFeatures features) {
  std::set<std::pair<Op, Format>> wanted;
  for (const Kernel& kernel : all_kernels()) {
    wanted.emplace(kernel.entry->op, kernel.entry->format);
  }
  std::vector<Choice> choices;
  for (const auto& [op, format] : wanted) {
    std::string reason;
    const Kernel* kernel = select_kernel(op, format, features, &reason);
    if (kernel != nullptr) choices.push_back({op, format, kernel, reason});
  }
  return choices;
}

Result<std::vector<Probe>> run_probes(const Report& report) {
  std::set<int> team_sizes = {1, report.topology.default_threads(),
                              report.topology.default_prompt_threads()};
  std::vector<Probe> probes;
  for (const int threads : team_sizes) {
    NIBBLE_TRY(const double bandwidth, probe_read_gb_per_s(threads));
    probes.push_back({threads, bandwidth, probe_int8_gmac_per_s(threads, report.usable)});
  }
  return probes;
}

Result<std::vector<NodeProbe>> probe_nodes(const Topology& topology) {
  std::vector<NodeProbe> probes;
  if (topology.nodes == 1) return probes;
  constexpr size_t kBytes = size_t{4} << 20;
  for (const int node : topology.node_ids) {
    NodeArena arena;
    const size_t offset = arena.reserve(0, kBytes);
    NIBBLE_TRY_VOID(arena.allocate("a test of memory nodes", {&node, 1}));
    std::memset(arena.at(0, offset), 1, kBytes);
    NodeProbe probe{node, arena.sample(), "memory node " + std::to_string(node), {}};
    probe.text = probe.sample.pages == 0 ? "the system does not tell where pages lie"
                                         : fixed(100.0 * static_cast<double>(probe.sample.right) /
                                                     static_cast<double>(probe.sample.pages),
                                                 0) +
                                               " % of the pages wanted there lie there";
    probes.push_back(std::move(probe));
  }
  return probes;
}

Result<Report> make_report(const CpuOptions& options) {
  Report report;
  report.isa = options.isa.empty() ? "auto" : options.isa;
  report.detected = detect_cpu_features();
  std::string problem;
  if (!features_for_isa(report.isa, report.detected, &report.usable, &problem)) {
    return Error{ErrorCode::kUsage, problem};
  }
  report.topology = detect_topology();
  report.thermals = read_thermals();
  report.huge_pages = huge_page_mode();
  NIBBLE_TRY(report.nodes, probe_nodes(report.topology));
  report.tuning = read_tuning(&report.tuning_note);
  report.choices = choose_kernels(report.usable);
  if (options.probe) {
    NIBBLE_TRY(report.probes, run_probes(report));
  }
  return report;
}

// Cores and CPUs of each kind, the slowest kind first.
std::map<int, std::pair<size_t, size_t>> count_kinds(const Topology& topology) {
  std::map<int, std::set<int>> cores;
  std::map<int, size_t> cpus;
  for (const CpuInfo& cpu : topology.cpus) {
    cores[cpu.core_kind].insert(cpu.core);
    ++cpus[cpu.core_kind];
  }
  std::map<int, std::pair<size_t, size_t>> kinds;
  for (const auto& [kind, ids] : cores) kinds[kind] = {ids.size(), cpus[kind]};
  return kinds;
}

json topology_json(const Topology& topology) {
  json out = {{"packages", topology.packages},
              {"nodes", topology.nodes},
              {"cores", topology.cores},
              {"node_ids", topology.node_ids},
              {"board", topology.board.empty() ? json() : json(topology.board)},
              {"default_threads", topology.default_threads()},
              {"default_prompt_threads", topology.default_prompt_threads()},
              {"cpu_quota", topology.cpu_quota > 0 ? json(topology.cpu_quota) : json()},
              {"core_kinds", json::array()},
              {"cpus", json::array()},
              {"caches", json::array()}};
  for (const auto& [kind, count] : count_kinds(topology)) {
    out["core_kinds"].push_back({{"kind", kind},
                                 {"cores", count.first},
                                 {"cpus", count.second},
                                 {"speed", topology.kind_speeds.at(static_cast<size_t>(kind))}});
  }
  for (const CpuInfo& cpu : topology.cpus) {
    out["cpus"].push_back({{"os_index", cpu.os_index},
                           {"core", cpu.core},
                           {"package", cpu.package},
                           {"node", cpu.node},
                           {"core_kind", cpu.core_kind}});
  }
  for (const CacheInfo& cache : topology.caches) {
    out["caches"].push_back({{"level", cache.level},
                             {"size_bytes", cache.size_bytes},
                             {"count", cache.count},
                             {"shared_by_cpus", cache.shared_by_cpus}});
  }
  return out;
}

void print_json(const Report& report, bool with_kernels) {
  const Topology& topology = report.topology;
  const uint64_t limit = topology.memory_limit_bytes;
  json out = {{"brand", cpu_brand()},
              {"isa", report.isa},
              {"features", feature_names(report.detected)},
              {"levels", json::array()},
              {"topology", topology_json(topology)},
              {"memory",
               {{"bytes", topology.memory_bytes},
                {"limit_bytes", limit > 0 ? json(limit) : json()},
                {"page_bytes", page_size_bytes()},
                {"huge_pages", report.huge_pages}}},
              {"thermals", thermals_json(report.thermals)},
              {"tuning", nullptr},
              {"kernels", json::array()},
              {"notes", topology.notes}};
  if (report.tuning) out["tuning"] = tuning_json(*report.tuning);
  if (!report.tuning_note.empty()) out["notes"].push_back(report.tuning_note);
  for (const IsaLevel& level : isa_levels()) {
    const auto lacks = missing(level, report.detected);
    out["levels"].push_back({{"name", level.name},
                             {"usable", missing(level, report.usable).empty()},
                             {"missing", lacks}});
  }
  for (const Choice& choice : report.choices) {
    out["kernels"].push_back({{"op", op_name(choice.op)},
                              {"format", format_info(choice.format).name},
                              {"isa", choice.kernel->level->name},
                              {"kernel", choice.kernel->id()},
                              {"reason", choice.reason}});
  }
  if (with_kernels) {
    for (const Kernel& kernel : all_kernels()) out["all_kernels"].push_back(kernel.id());
  }
  for (const NodeProbe& node : report.nodes) {
    out["node_probes"].push_back(
        {{"node", node.node}, {"pages", node.sample.pages}, {"right", node.sample.right}});
  }
  for (const Probe& probe : report.probes) {
    out["probes"].push_back({{"threads", probe.threads},
                             {"read_gb_per_s", probe.read_gb_per_s},
                             {"int8_gmac_per_s", probe.int8_gmac_per_s}});
  }
  std::printf("%s\n", out.dump(1, ' ', false, json::error_handler_t::replace).c_str());
}

std::string counted(size_t count, const std::string& thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

std::string cpu_counts(const Topology& topology) {
  std::string text = counted(topology.cpus.size(), "CPU") + " on " +
                     counted(static_cast<size_t>(topology.cores), "core") + ", " +
                     counted(static_cast<size_t>(topology.packages), "package") + ", " +
                     counted(static_cast<size_t>(topology.nodes), "memory node");
  if (topology.core_kinds == 1) return text;
  for (const auto& [kind, count] : count_kinds(topology)) {
    text += "; kind " + std::to_string(kind) + ": " + counted(count.first, "core") + ", " +
            counted(count.second, "CPU") + ", speed " +
            fixed(topology.kind_speeds.at(static_cast<size_t>(kind)), 2);
  }
  return text;
}

std::string threads_text(const Topology& topology) {
  const int decoders = topology.default_threads();
  const int readers = topology.default_prompt_threads();
  std::string text = std::to_string(decoders);
  if (readers != decoders) text += ", and " + std::to_string(readers) + " to read prompts,";
  return text + " unless -t says otherwise";
}

void print_machine(const Topology& topology, const Report& report) {
  std::printf("%s\n\nMachine, as far as this process may use it\n", cpu_brand().c_str());
  Table table({false, false});
  table.add({"processors", cpu_counts(topology)});
  table.add({"threads", threads_text(topology)});
  for (const NodeProbe& node : report.nodes) table.add({node.name, node.text});
  table.add({"tuned", report.tuning ? tuning_text(*report.tuning) : "no (nibble tune)"});
  table.add({"CPU quota",
             topology.cpu_quota > 0 ? fixed(topology.cpu_quota, 2) + " CPUs (cgroup)" : "none"});
  for (const CacheInfo& cache : topology.caches) {
    table.add({"L" + std::to_string(cache.level) + " cache",
               std::to_string(cache.count) + " x " + human_bytes(cache.size_bytes) + ", each for " +
                   counted(static_cast<size_t>(cache.shared_by_cpus), "CPU")});
  }
  table.add({"memory", human_bytes(topology.memory_bytes)});
  const uint64_t limit = topology.memory_limit_bytes;
  table.add({"memory limit", limit > 0 ? human_bytes(limit) + " (cgroup)" : "none"});
  table.add({"pages", human_bytes(page_size_bytes()) + ", huge pages: " + report.huge_pages});
  table.add({"clock", clock_text(report.thermals)});
  table.add({"temperature", temperature_text(report.thermals) +
                                ", throttling: " + throttling_text(report.thermals)});
  for (const Probe& probe : report.probes) {
    table.add({"measured", counted(static_cast<size_t>(probe.threads), "thread") + ": reads " +
                               fixed(probe.read_gb_per_s, 1) + " GB/s, int8 " +
                               fixed(probe.int8_gmac_per_s, 0) + " GMAC/s"});
  }
  table.print();
}

void print_text(const Report& report, bool with_kernels) {
  print_machine(report.topology, report);
  std::printf("\nFeatures\n  %s\n", join(feature_names(report.detected)).c_str());

  std::printf("\nInstruction-set levels of this program%s\n",
              report.isa == "auto" ? "" : (", " + report.isa + " forced").c_str());
  Table levels({false, false});
  for (const IsaLevel& level : isa_levels()) {
    const auto lacks = missing(level, report.detected);
    const bool off = !missing(level, report.usable).empty();
    levels.add({std::string(level.name), !lacks.empty() ? "needs " + join(lacks)
                                         : off          ? "switched off"
                                                        : "usable"});
  }
  levels.print();

  std::printf("\nKernels chosen\n");
  Table kernels({false, false, false});
  for (const Choice& choice : report.choices) {
    kernels.add(
        {std::string(op_name(choice.op)) + " " + std::string(format_info(choice.format).name),
         std::string(choice.kernel->level->name), choice.reason});
  }
  kernels.print();
  if (with_kernels) {
    std::printf("\nAll kernels\n");
    for (const Kernel& kernel : all_kernels()) std::printf("  %s\n", kernel.id().c_str());
  }
  std::vector<std::string> notes = report.topology.notes;
  if (!report.tuning_note.empty()) notes.push_back(report.tuning_note);
  if (notes.empty()) return;
  std::printf("\nNotes\n");
  for (const std::string& note : notes) std::printf("  %s\n", note.c_str());
}

int cpu(const CpuOptions& options) {
  const auto report = make_report(options);
  if (!report) return fail(report.error());
  if (options.as_json) {
    print_json(*report, options.kernels);
  } else {
    print_text(*report, options.kernels);
  }
  return 0;
}

}  // namespace

void add_cpu(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<CpuOptions>();
  CLI::App* command = app.add_subcommand("cpu", "Show the machine and the kernels it gets");
  command->add_flag("--json", options->as_json, "Print everything as JSON");
  command->add_flag("--kernels", options->kernels, "List every kernel in this program");
  command->add_flag("--probe", options->probe, "Measure memory bandwidth and int8 speed");
  command->add_option("--isa", options->isa, "Use this instruction-set level (auto: the best)")
      ->envname("NIBBLE_ISA")
      ->type_name("LEVEL");
  command->footer(kExamples);
  command->callback([options, exit_code] { *exit_code = cpu(*options); });
}

}  // namespace nibble::cli
