// The table of every weight format (tools/docs/formats.md): size, error, perplexity, speed. Speeds
// and perplexities come from files that `tools/dev formats` has made; see tools/dev_lib/formats.sh.
//
//   formats_bench --list               formats that the quantiser writes, one a line
//   formats_bench FOLDER > TABLE.md    FOLDER holds speeds.jsonl and NAME.json of `nibble
//   perplexity`
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "runtime/file/concat.h"
#include "runtime/ops/kernel_set.h"
#include "runtime/quantize/quantize_row.h"
#include "simd/cpu.h"
#include "simd/format.h"
#include "simd/registry.h"

namespace nibble {
namespace {

using Json = nlohmann::json;

constexpr const char* kMissing = "-";

constexpr const char* kIntroduction = R"(# Every weight format

`tools/dev formats` makes this page: on %s, one thread,
%s, commit %s.

- **error**: root mean square of what rounding loses of Gaussian weights, as a share of theirs.
  "-": files of this format are read, not written.
- **perplexity**: the story model, F16, with every matrix, embedding and head in this format, on
  `stories-valid.txt` in chunks of 256 tokens. Trained in F16, so no format is favoured.
- **speed**, for each instruction-set level: GB/s of weights read from memory while one token is
  computed, / GMAC/s while 128 tokens are; a matrix of 1152 x 6912; the better of two rounds.

)";

std::vector<Format> all_formats() {
  std::vector<Format> formats;
  for (size_t i = 0; i < static_cast<size_t>(Format::kCount); ++i) {
    const auto format = static_cast<Format>(i);
    if (has_kernels(format)) formats.push_back(format);
  }
  return formats;
}

std::string number(const char* pattern, double value) {
  char text[32];
  std::snprintf(text, sizeof(text), pattern, value);
  return text;
}

// Root mean square of what is lost of Gaussian weights, as a share of theirs.
std::string gaussian_error(Format format) {
  if (!can_quantize(format)) return kMissing;
  constexpr size_t kDepth = 2048, kRows = 256;
  const KernelSet kernels(detect_cpu_features());
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<float> row(kDepth), stored(kDepth);
  std::vector<uint8_t> bytes(row_bytes(format, kDepth));
  double squares = 0, errors = 0;
  for (size_t r = 0; r < kRows; ++r) {
    for (float& weight : row) weight = normal(generator);
    quantize_row(format, row.data(), nullptr, kDepth, bytes.data());
    const DequantizeArgs args{bytes.data(), stored.data(), kDepth};
    kernels.fn(Op::kDequantizeRow, format).dequantize(&args);
    for (size_t i = 0; i < kDepth; ++i) {
      const double weight = static_cast<double>(row[i]);
      const double lost = weight - static_cast<double>(stored[i]);
      squares += weight * weight;
      errors += lost * lost;
    }
  }
  return number("%.3g %%", 100 * std::sqrt(errors / squares));
}

std::string perplexity(const std::string& folder, std::string_view name) {
  std::ifstream file(folder + "/" + std::string(name) + ".json");
  const Json json = Json::parse(file, nullptr, false);
  return json.is_object() && json.contains("perplexity")
             ? number("%.3f", json["perplexity"].get<double>())
             : kMissing;
}

// "gemv/q4_0/avx2" and "gemm/q4_0/avx2" to GB/s and GMAC/s, the best where there are several: what
// disturbs a measurement makes it slower.
struct Speeds {
  std::map<std::string, double> values;
  std::map<std::string, bool> levels;
  Json machine;

  std::string of(const std::string& key, const char* pattern) const {
    const auto at = values.find(key);
    return at == values.end() ? kMissing : number(pattern, at->second);
  }
};

Speeds read_speeds(const std::string& folder) {
  Speeds speeds;
  std::ifstream file(folder + "/speeds.jsonl");
  for (std::string line; std::getline(file, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("name")) continue;
    const auto name = json["name"].get<std::string>();
    const size_t format = name.find('/'), level = name.find('/', format + 1);
    const size_t rest = name.find('/', level + 1);
    if (level == std::string::npos) continue;
    const char* counter = name.starts_with("gemv") ? "GB/s" : "GMAC/s";
    if (!json.contains(counter)) continue;
    double& best = speeds.values[name.substr(0, rest)];
    best = std::max(best, json[counter].get<double>());
    speeds.levels[name.substr(level + 1, rest - level - 1)] = true;
    speeds.machine = json;
  }
  return speeds;
}

std::string lower(std::string_view name) {
  std::string text(name);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

int print_table(const std::string& folder) {
  const Speeds speeds = read_speeds(folder);
  if (speeds.values.empty()) {
    std::fprintf(stderr,
                 "formats_bench: %s/speeds.jsonl: missing or empty; run tools/dev formats\n",
                 folder.c_str());
    return 66;
  }
  std::vector<std::string> levels;  // from the plainest, in the registry's order
  for (const IsaLevel& level : isa_levels()) {
    if (speeds.levels.contains(std::string(level.name))) levels.emplace_back(level.name);
  }
  const auto fact = [&](const char* key) { return speeds.machine.value(key, std::string("?")); };
  std::printf(kIntroduction, fact("cpu").c_str(), fact("compiler").c_str(), fact("commit").c_str());
  std::string head = "| format | bits/weight | error | perplexity |", line = "|---|---:|---:|---:|";
  for (const std::string& level : levels) {
    head += " " + level + " |";
    line += "---:|";
  }
  std::printf("%s\n%s\n", head.c_str(), line.c_str());
  for (const Format format : all_formats()) {
    const FormatInfo& info = format_info(format);
    std::printf("| %s | %s | %s | %s |", std::string(info.name).c_str(),
                number("%.4g", 8.0 * info.block_bytes / info.block).c_str(),
                gaussian_error(format).c_str(), perplexity(folder, info.name).c_str());
    for (const std::string& level : levels) {
      const std::string key = concat("/", lower(info.name), "/", level);
      std::printf(" %s / %s |", speeds.of("gemv" + key, "%.3g").c_str(),
                  speeds.of("gemm" + key, "%.3g").c_str());
    }
    std::puts("");
  }
  return 0;
}

int run(int argc, char** argv) {
  const std::string argument = argc == 2 ? argv[1] : "";
  if (argument.empty() || (argument.starts_with('-') && argument != "--list")) {
    std::fputs("usage: formats_bench --list | formats_bench FOLDER\n", stderr);
    return 64;
  }
  if (argument != "--list") return print_table(argument);
  for (const Format format : all_formats()) {
    if (can_quantize(format)) std::puts(std::string(format_info(format).name).c_str());
  }
  return 0;
}

}  // namespace
}  // namespace nibble

int main(int argc, char** argv) {
  return nibble::run(argc, argv);
}
