#include "tools/nibble/board.h"

#include <sys/utsname.h>

#include <cstdio>
#include <set>

#include "runtime/machine/memory.h"
#include "runtime/machine/topology.h"
#include "simd/cpu.h"
#include "tools/nibble/command.h"

namespace nibble::cli {
namespace {

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

template <typename T>
nlohmann::json or_null(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

std::string hexadecimal(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof(text), "0x%x", value);
  return text;
}

std::string system_text() {
  utsname names;
  if (uname(&names) != 0) return "unknown";
  return std::string(names.sysname) + " " + names.release + ", " + names.machine + ", pages of " +
         human_bytes(page_size_bytes());
}

// "dotprod, neon"
std::string levels_text(const Engine& engine) {
  std::set<std::string> levels;
  for (const Engine::Choice& choice : engine.choices()) levels.insert(std::string(choice.isa));
  std::string text;
  for (const std::string& level : levels) text.append(text.empty() ? "" : ", ").append(level);
  return text;
}

}  // namespace

nlohmann::json thermals_json(const Thermals& thermals) {
  nlohmann::json json = {{"governor", nullptr},
                         {"mhz", or_null(thermals.mhz)},
                         {"mhz_max", or_null(thermals.mhz_max)},
                         {"celsius", or_null(thermals.celsius)},
                         {"firmware_flags", nullptr},
                         {"throttled", nullptr},
                         {"throttling", throttling_text(thermals)}};
  if (!thermals.governor.empty()) json["governor"] = thermals.governor;
  if (thermals.firmware_flags) json["firmware_flags"] = hexadecimal(*thermals.firmware_flags);
  if (thermals.firmware_flags || thermals.cooled) json["throttled"] = thermals.throttled();
  return json;
}

std::string clock_text(const Thermals& thermals) {
  std::string text = thermals.mhz ? fixed(*thermals.mhz, 0) : "unknown";
  if (thermals.mhz_max) text += " of " + fixed(*thermals.mhz_max, 0);
  if (thermals.mhz || thermals.mhz_max) text += " MHz";
  return text + ", governor " + (thermals.governor.empty() ? "unknown" : thermals.governor);
}

std::string temperature_text(const Thermals& thermals) {
  return thermals.celsius ? fixed(*thermals.celsius, 1) + " C" : "unknown";
}

std::string throttling_text(const Thermals& thermals) {
  const std::string text = thermals.throttle_text();
  if (!text.empty()) return text;
  return thermals.firmware_flags ? "none" : "none told";
}

std::string board_report(const Engine& engine, const Model& model, const Thermals& before,
                         const Thermals& after) {
  const Topology topology = detect_topology();
  const std::string flags =
      after.firmware_flags ? ", flags " + hexadecimal(*after.firmware_flags) : "";
  const std::pair<const char*, std::string> rows[] = {
      {"board", cpu_brand()},
      {"system", system_text()},
      {"cores, memory", std::to_string(topology.cores) + ", " + human_bytes(topology.memory_bytes)},
      {"nibble", std::string(version()) + ", levels " + levels_text(engine)},
      {"model", std::string(model.name()) + ", " + std::string(model.architecture()) + ", " +
                    human_bytes(model.weight_bytes())},
      {"clock before", clock_text(before)},
      {"clock after", clock_text(after)},
      {"temperature", temperature_text(before) + " before, " + temperature_text(after) + " after"},
      {"throttling",
       throttling_text(before) + " before, " + throttling_text(after) + " after" + flags}};
  std::string text = "| | |\n|---|---|\n";
  for (const auto& [name, value] : rows) {
    text.append("| ").append(name).append(" | ").append(value).append(" |\n");
  }
  return text;
}

}  // namespace nibble::cli
