// How tokens are chosen, as a person sets it: one table for the flags of `nibble run` and for /set
// in a chat.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "nibble/nibble.h"
#include "tools/nibble/command.h"
#include "tools/nibble/numbers.h"

namespace nibble::cli {

struct SamplingSetting {
  const char* name;  // "top-k"
  const char* letter;
  RealRange range;
  bool whole;
  double (*get)(const SamplingOptions&);
  void (*set)(SamplingOptions*, double);
};

extern const std::array<SamplingSetting, 7> kSamplingSettings;

// What the user set; the rest is what the model recommends, and a new random seed for each answer.
class SamplingChoice {
 public:
  void add_options(CLI::App* app);
  // For /set. Error 64 names the setting, the value and the range, or lists the settings.
  Result<void> set(const std::string& name, const std::string& value);
  SamplingOptions options(const Model& model) const;
  // "temp 1, top-k 64, ... seed random"
  std::string describe(const Model& model) const;

 private:
  std::array<std::optional<double>, 7> values_;
  std::optional<uint64_t> seed_;
};

}  // namespace nibble::cli
