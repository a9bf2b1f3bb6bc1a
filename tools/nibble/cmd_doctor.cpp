// nibble doctor: what limits this machine, and the one change that would help most, first.
// Read next: runtime/machine/diagnosis.h (the rules), condition.h (what is looked at).
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/machine/condition.h"
#include "runtime/machine/diagnosis.h"
#include "runtime/machine/memory.h"
#include "runtime/machine/probe.h"
#include "runtime/machine/topology.h"
#include "simd/registry.h"
#include "tools/nibble/board.h"
#include "tools/nibble/command.h"
#include "tools/nibble/planning.h"
#include "tools/nibble/table.h"

namespace nibble::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples =
    R"(It measures memory and processor for about a second. Factors are estimates.

Examples:
  nibble doctor
  nibble doctor --json | jq -r '.findings[0].remedy')";

struct Examined {
  MachineState state;
  MachineSpeed speed;
  std::vector<Finding> findings;
};

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

Result<Examined> examine() {
  Examined out;
  MachineState& state = out.state;
  state.topology = detect_topology();
  state.features = detect_cpu_features();
  state.page_bytes = page_size_bytes();
  out.speed.threads = state.topology.default_threads();
  // Before the probes: while they run, it is they whom other tasks wait for.
  const std::optional<double> cpu_wait = read_condition().cpu_wait;
  const auto before = read_cpu_ticks();
  NIBBLE_TRY(out.speed.read_gb_per_s, probe_read_gb_per_s(out.speed.threads));
  out.speed.int8_gmac_per_s = probe_int8_gmac_per_s(out.speed.threads, state.features);
  const auto after = read_cpu_ticks();
  if (before && after && after->all > before->all) {
    state.stolen = static_cast<double>(after->stolen - before->stolen) /
                   static_cast<double>(after->all - before->all);
  }
  state.read_gb_per_s = out.speed.read_gb_per_s;
  state.condition = read_condition();
  state.condition.cpu_wait = cpu_wait;
  out.findings = diagnose(state);
  return out;
}

// The best level of which the machine has all.
std::string best_level(CpuFeatures features) {
  std::string best;
  for (const IsaLevel& level : isa_levels()) {
    if ((level.required & ~features) == 0) best = level.name;
  }
  return best;
}

std::string modules_text(const MachineCondition& condition) {
  if (condition.modules.empty()) return "not told (as root it may be)";
  std::string text;
  for (const MemoryModule& module : condition.modules) {
    text += (text.empty() ? "" : ", ") + human_bytes(module.bytes);
    if (module.mega_transfers_per_s > 0) {
      text += " at " + std::to_string(module.mega_transfers_per_s) + " MT/s";
    }
  }
  return text;
}

std::string smt_text(const MachineCondition& condition) {
  if (!condition.smt) return "not told";
  return *condition.smt ? "on; one thread a core is used" : "off";
}

void print_finding(const Finding& finding) {
  std::printf("  %s: %s\n", finding.what.c_str(), finding.evidence.c_str());
  if (finding.remedy.empty()) return;
  std::printf("    -> %s (about %s times as fast)\n", finding.remedy.c_str(),
              fixed(finding.gain, 1).c_str());
}

// Of the findings, those that can be remedied or those that cannot; `first`: from which on.
void print_findings(const std::vector<Finding>& findings, size_t first, bool remedied,
                    const char* heading) {
  for (size_t i = first; i < findings.size(); ++i) {
    if (findings[i].remedy.empty() == remedied) continue;
    if (heading != nullptr) std::printf("\n%s\n", heading);
    heading = nullptr;
    print_finding(findings[i]);
  }
}

void print_text(const Examined& examined) {
  const MachineState& state = examined.state;
  const Topology& topology = state.topology;
  const std::vector<Finding>& findings = examined.findings;
  if (!findings.empty() && !findings[0].remedy.empty()) {
    std::printf("What would help most\n");
    print_finding(findings[0]);
    print_findings(findings, 1, true, "What would help too");
  } else {
    std::printf(
        "Nothing was found that would make this machine faster. A smaller type or model\n"
        "would: see nibble plan.\n");
  }
  print_findings(findings, 0, false, "What is so");

  std::printf("\nMeasured, %d threads\n", examined.speed.threads);
  Table measured({false, false});
  const std::string read = fixed(examined.speed.read_gb_per_s, 1) + " GB/s";
  measured.add({"memory is read at", read + "; each token needs all weights of the layers"});
  measured.add({"int8 is multiplied at",
                fixed(examined.speed.int8_gmac_per_s, 0) + " GMAC/s; prompts are limited by it"});
  measured.print();

  std::printf("\nMachine\n");
  Table table({false, false});
  table.add({"processor", cpu_brand()});
  table.add({"cores", std::to_string(topology.cores) + " of " + std::to_string(topology.packages) +
                          " package(s), " + std::to_string(topology.cpus.size()) + " CPUs"});
  table.add(
      {"CPU quota", topology.cpu_quota > 0 ? fixed(topology.cpu_quota, 2) + " CPUs" : "none"});
  table.add({"SMT", smt_text(state.condition)});
  table.add({"best instruction set", best_level(state.features)});
  table.add({"clock", clock_text(state.condition.thermals)});
  table.add({"temperature", temperature_text(state.condition.thermals)});
  table.add({"throttling", throttling_text(state.condition.thermals)});
  table.add({"memory", human_bytes(topology.memory_bytes) +
                           (state.condition.available_bytes
                                ? ", free " + human_bytes(*state.condition.available_bytes)
                                : std::string())});
  table.add({"memory modules", modules_text(state.condition)});
  table.add(
      {"pages", human_bytes(state.page_bytes) + ", huge pages: " + state.condition.huge_pages});
  table.print();
}

void print_json(const Examined& examined) {
  const MachineState& state = examined.state;
  const MachineCondition& condition = state.condition;
  Json json = {
      {"findings", Json::array()},
      {"threads", examined.speed.threads},
      {"read_gb_per_s", examined.speed.read_gb_per_s},
      {"int8_gmac_per_s", examined.speed.int8_gmac_per_s},
      {"brand", cpu_brand()},
      {"cores", state.topology.cores},
      {"cpus", state.topology.cpus.size()},
      {"cpu_quota", state.topology.cpu_quota > 0 ? Json(state.topology.cpu_quota) : Json()},
      {"smt", condition.smt ? Json(*condition.smt) : Json()},
      {"isa", best_level(state.features)},
      {"thermals", thermals_json(condition.thermals)},
      {"memory_bytes", state.topology.memory_bytes},
      {"available_bytes", condition.available_bytes ? Json(*condition.available_bytes) : Json()},
      {"memory_modules", Json::array()},
      {"page_bytes", state.page_bytes},
      {"huge_pages", condition.huge_pages},
      {"virtual_machine", condition.virtual_machine},
      {"cpu_wait", condition.cpu_wait ? Json(*condition.cpu_wait) : Json()},
      {"stolen", state.stolen}};
  for (const Finding& finding : examined.findings) {
    json["findings"].push_back({{"what", finding.what},
                                {"evidence", finding.evidence},
                                {"remedy", finding.remedy.empty() ? Json() : Json(finding.remedy)},
                                {"gain", finding.gain}});
  }
  for (const MemoryModule& module : condition.modules) {
    json["memory_modules"].push_back(
        {{"bytes", module.bytes}, {"mega_transfers_per_s", module.mega_transfers_per_s}});
  }
  std::printf("%s\n", json.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
}

}  // namespace

void add_doctor(CLI::App& app, int* exit_code) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("doctor", "Tell what limits this machine and what would help");
  command->add_flag("--json", *as_json, "Print everything as JSON");
  command->footer(kExamples);
  command->callback([as_json, exit_code] {
    const auto examined = examine();
    if (!examined) {
      *exit_code = fail(examined.error());
    } else if (*as_json) {
      print_json(*examined);
    } else {
      print_text(*examined);
    }
  });
}

}  // namespace nibble::cli
