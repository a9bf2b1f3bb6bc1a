#include "tools/nibble/sampling.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <random>
#include <vector>

#include "tools/nibble/number_options.h"
#include "tools/nibble/suggestion.h"

namespace nibble::cli {

#define NIBBLE_SETTING(field)                                   \
  [](const SamplingOptions& o) { return double{1} * o.field; }, \
      [](SamplingOptions* o, double v) { o->field = static_cast<decltype(o->field)>(v); }
const std::array<SamplingSetting, 7> kSamplingSettings = {{
    {"temp", "T", {0, 100}, false, NIBBLE_SETTING(temperature)},
    {"top-k", "K", {0, 1e6}, true, NIBBLE_SETTING(top_k)},
    {"top-p", "P", {0, 1}, false, NIBBLE_SETTING(top_p)},
    {"min-p", "P", {0, 1}, false, NIBBLE_SETTING(min_p)},
    {"repeat-penalty", "R", {0.01, 100}, false, NIBBLE_SETTING(repeat_penalty)},
    {"presence-penalty", "R", {-100, 100}, false, NIBBLE_SETTING(presence_penalty)},
    {"frequency-penalty", "R", {-100, 100}, false, NIBBLE_SETTING(frequency_penalty)},
}};
#undef NIBBLE_SETTING

namespace {

constexpr const char* kGroup = "Sampling (default: what the model recommends; --temp 0 is greedy)";

Result<double> parse(const SamplingSetting& setting, const std::string& name,
                     const std::string& value) {
  if (!setting.whole) return parse_real(name, value, setting.range);
  NIBBLE_TRY(const int64_t number, parse_whole(name, value,
                                               {static_cast<int64_t>(setting.range.min),
                                                static_cast<int64_t>(setting.range.max)}));
  return static_cast<double>(number);
}

}  // namespace

void SamplingChoice::add_options(CLI::App* app) {
  for (size_t i = 0; i < kSamplingSettings.size(); ++i) {
    const SamplingSetting& setting = kSamplingSettings[i];
    const std::string flag = std::string("--") + setting.name;
    add_parsed(app, flag, &values_[i], "",
               [&setting](const std::string& name, const std::string& text) {
                 return parse(setting, name, text);
               })
        ->type_name(setting.letter)
        ->group(kGroup);
  }
  add_parsed(app, "--seed", &seed_, "", parse_seed)->type_name("N")->group(kGroup);
}

Result<void> SamplingChoice::set(const std::string& name, const std::string& value) {
  std::vector<std::string> known = {"seed"};
  if (name == "seed") {
    NIBBLE_TRY(seed_, parse_seed(name, value));
    return {};
  }
  for (size_t i = 0; i < kSamplingSettings.size(); ++i) {
    known.emplace_back(kSamplingSettings[i].name);
    if (name != known.back()) continue;
    NIBBLE_TRY(values_[i], parse(kSamplingSettings[i], name, value));
    return {};
  }
  return Error{ErrorCode::kUsage, "there is no setting '" + name + "'" + did_you_mean(name, known)};
}

SamplingOptions SamplingChoice::options(const Model& model) const {
  SamplingOptions options = recommended_sampling(model);
  for (size_t i = 0; i < kSamplingSettings.size(); ++i) {
    if (values_[i]) kSamplingSettings[i].set(&options, *values_[i]);
  }
  options.seed = seed_ ? *seed_ : std::random_device()();
  return options;
}

std::string SamplingChoice::describe(const Model& model) const {
  const SamplingOptions now = options(model);
  std::string out;
  for (const SamplingSetting& setting : kSamplingSettings) {
    char text[64];
    std::snprintf(text, sizeof(text), "%s %.4g, ", setting.name, setting.get(now));
    out += text;
  }
  return out + "seed " + (seed_ ? std::to_string(*seed_) : "random");
}

}  // namespace nibble::cli
