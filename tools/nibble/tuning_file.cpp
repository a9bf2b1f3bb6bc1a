#include "tools/nibble/tuning_file.h"

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <thread>

#include "runtime/file/atomic_file.h"
#include "runtime/machine/cgroup.h"
#include "simd/cpu.h"
#include "simd/registry.h"
#include "tools/nibble/output.h"

namespace nibble::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kThreadsMax = 1024;

// What the answer depends on. CPUs are those that this process may use.
nlohmann::json key() {
  return {{"version", version()},
          {"brand", cpu_brand()},
          {"features", feature_names(detect_cpu_features())},
          {"cpus", std::thread::hardware_concurrency()},
          {"quota", read_cgroup_limits().cpu_quota}};
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[16];
  std::strftime(text, sizeof(text), "%Y-%m-%d", &parts);
  return text;
}

bool is_level(const std::string& name) {
  CpuFeatures features = 0;
  std::string problem;
  return features_for_isa(name, detect_cpu_features(), &features, &problem);
}

// Throws nlohmann's exceptions for what is missing or of another type.
Tuning parse(const nlohmann::json& json) {
  Tuning tuning;
  json.at("date").get_to(tuning.date);
  const nlohmann::json& choice = json.at("choice");
  choice.at("isa").get_to(tuning.choice.isa);
  choice.at("threads").get_to(tuning.choice.threads);
  choice.at("prompt_threads").get_to(tuning.choice.prompt_threads);
  for (const nlohmann::json& trial : json.at("trials")) {
    tuning.trials.push_back({trial.at("isa"), trial.at("threads"), trial.at("decode_gb_per_s"),
                             trial.at("prompt_gmac_per_s")});
  }
  return tuning;
}

bool makes_sense(const TuneChoice& choice) {
  const auto in_range = [](int threads) { return threads >= 1 && threads <= kThreadsMax; };
  return in_range(choice.threads) && in_range(choice.prompt_threads) && is_level(choice.isa);
}

}  // namespace

std::string tuning_path() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != '\0') return fs::path(cache) / "nibble/tuning.json";
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return fs::path(home) / ".cache/nibble/tuning.json";
  return {};
}

std::optional<Tuning> read_tuning(std::string* note) {
  const std::string path = tuning_path();
  std::error_code error;
  if (path.empty() || !fs::is_regular_file(path, error)) return std::nullopt;
  const auto text = read_system_file(path);
  if (!text) return std::nullopt;
  try {
    const auto json = nlohmann::json::parse(*text);
    if (json.at("key") != key()) {
      *note = path + " is of another machine or version and is ignored; nibble tune makes it anew";
      return std::nullopt;
    }
    Tuning tuning = parse(json);
    if (makes_sense(tuning.choice)) return tuning;
  } catch (const nlohmann::json::exception&) {
  }
  *note = path + " is damaged and is ignored; nibble tune makes it anew";
  return std::nullopt;
}

Result<void> write_tuning(const Tuning& tuning) {
  const std::string path = tuning_path();
  if (path.empty()) {
    return Error{ErrorCode::kCannotCreate,
                 "no place to keep the answer: neither XDG_CACHE_HOME nor HOME is set"};
  }
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  Json json = {{"key", Json(key())}};
  json.update(tuning_json(tuning));
  const std::string text = json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  NIBBLE_TRY(AtomicFile file, AtomicFile::create(path));
  NIBBLE_TRY_VOID(file.write(0, text.data(), text.size()));
  return file.commit();
}

Json tuning_json(const Tuning& tuning) {
  Json json = {{"date", tuning.date.empty() ? today() : tuning.date},
               {"choice",
                {{"isa", tuning.choice.isa},
                 {"threads", tuning.choice.threads},
                 {"prompt_threads", tuning.choice.prompt_threads}}},
               {"trials", Json::array()}};
  for (const TuneTrial& trial : tuning.trials) {
    json["trials"].push_back({{"isa", trial.isa},
                              {"threads", trial.threads},
                              {"decode_gb_per_s", trial.decode_gb_per_s},
                              {"prompt_gmac_per_s", trial.prompt_gmac_per_s}});
  }
  return json;
}

std::string tuning_text(const Tuning& tuning) {
  const TuneChoice& choice = tuning.choice;
  return std::to_string(choice.threads) + " threads, " + std::to_string(choice.prompt_threads) +
         " for prompts, " + (choice.isa.empty() ? "the usual instruction set" : choice.isa) +
         (tuning.date.empty() ? "" : " (" + tuning.date + ")");
}

void apply_tuning(EngineOptions* options) {
  std::string note;
  const auto tuning = read_tuning(&note);
  if (!note.empty()) print_note(note);
  if (!tuning) return;
  const TuneChoice& choice = tuning->choice;
  if (options->threads == 0) {
    options->threads = choice.threads;
    if (options->prompt_threads == 0) options->prompt_threads = choice.prompt_threads;
  }
  const char* forced = std::getenv("NIBBLE_ISA");
  if (choice.isa.empty() || !options->isa.empty() || (forced != nullptr && *forced != '\0')) return;
  options->isa = choice.isa;
  print_note(choice.isa + " is used, which nibble tune found faster (--tune off)");
}

}  // namespace nibble::cli
