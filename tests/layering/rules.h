// The rules of the house, as a function over a source tree: who may include whom, which library is
// named where, how long a file may be, and what no file may hold. Read next: layering_test.cpp.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace nibble::layering {

namespace fs = std::filesystem;

inline constexpr size_t kLinesMax = 600;

struct Findings {
  size_t files = 0;                     // C++ files read
  size_t includes = 0;                  // include lines judged
  std::vector<std::string> violations;  // "path:line: what"
};

// What a part of the tree may include. The first rule whose `path` matches from the start decides.
struct IncludeRule {
  std::regex path;     // of the including file
  std::regex quoted;   // the whole "name"
  std::regex bracket;  // the whole <name>
};

inline const std::vector<IncludeRule>& include_rules() {
  static const std::string c =
      "(assert|errno|float|limits|math|stdalign|stdbool|stddef|stdint|string)\\.h";
  static const std::string kernel = c + "|([a-z]*intrin|arm_neon|arm_sve|arm_sme|arm_acle)\\.h";
  static const std::string shared = "simd/abi\\.h|simd/[a-z0-9_]+_inl\\.h";
  static const std::string system = "[a-z0-9_]+(\\.h)?|(sys|linux|asm)/[a-z_]+\\.h";
  static const std::string sockets = "(arpa|netinet)/[a-z]+\\.h";
  static const std::string generated = "[a-z_]+\\.inc";  // lists that CMake makes
  static const std::vector<IncludeRule> rules = [] {
    const std::string rows[][3] = {
        {"arch/", shared, kernel},
        // The one door to xsimd: it has to include the standard headers that xsimd does.
        {"simd/xsimd_inl\\.h", "", system + "|xsimd/.*"},
        {"simd/[a-z0-9_]+_inl\\.h", shared, kernel},
        {"simd/abi\\.h", "", c},
        {"simd/", "simd/.*|" + generated, system},
        {"runtime/include/", "nibble/.*", system},
        {"runtime/machine/thread_team\\.cpp", "(runtime|simd|nibble)/.*",
         system + "|(oneapi/)?tbb/.*"},
        {"runtime/", "(runtime|simd|nibble)/.*|" + generated, system},
        {"tools/examples/", "nibble/.*", system},
        {"tools/", "(tools|runtime|simd|nibble)/.*|" + generated,
         system + "|" + sockets + "|(CLI|curl|editline|fmt|nlohmann)/.*"},
        {"bench/", "(bench|runtime|simd|nibble)/.*", system + "|(benchmark|fmt|nlohmann)/.*"},
        {"tests/consumer/", "nibble/.*", system},
        {"tests/", "(tests|tools|runtime|simd|nibble)/.*|" + generated,
         system + "|" + sockets + "|(fmt|gtest|gmock|nlohmann)/.*"},
    };
    std::vector<IncludeRule> compiled;
    for (const auto& row : rows) {
      compiled.push_back({std::regex(row[0]), std::regex(row[1]), std::regex(row[2])});
    }
    return compiled;
  }();
  return rules;
}

// Libraries that only one place may name, in code (comments are free).
struct OwnedName {
  std::regex name;
  std::string owner;  // what the path starts with
};

inline const std::vector<OwnedName>& owned_names() {
  static const std::vector<OwnedName> names = {
      {std::regex("\\btbb::|<(oneapi/)?tbb[/.]"), "runtime/machine/thread_team.cpp"},
      {std::regex("\\bhwloc_|<hwloc"), "runtime/machine/topology.cpp"},
      {std::regex("\\bmi_[a-z]+\\(|<mimalloc"), "tools/"},
      {std::regex("<histedit|<editline"), "tools/"},
      {std::regex("\\bcurl_[a-z]+|<curl/"), "tools/nibble/hub/"},
  };
  return names;
}

inline bool is_source(const fs::path& path) {
  return path.extension() == ".cpp" || path.extension() == ".h";
}

inline bool is_build_file(const fs::path& path) {
  const std::string name = path.filename().string();
  return name == "CMakeLists.txt" || name == "CMakePresets.json" || name == "dev" ||
         name == "run" || path.extension() == ".cmake" || path.extension() == ".sh";
}

// Empty when the include is allowed, else why it is not.
inline std::string judge_include(const std::string& path, bool quoted, const std::string& name) {
  const fs::path folder = fs::path(path).parent_path();
  if (quoted && path.starts_with("arch/") && fs::path(name).parent_path() == folder) return {};
  for (const IncludeRule& rule : include_rules()) {
    if (!std::regex_search(path, rule.path, std::regex_constants::match_continuous)) continue;
    if (std::regex_match(name, quoted ? rule.quoted : rule.bracket)) return {};
    return "a file of " + folder.string() + "/ may not include " + name;
  }
  return "no rule for a file here";
}

inline void check_source_line(const std::string& path, const std::string& where,
                              const std::string& line, Findings* findings) {
  static const std::regex include(R"re(^\s*#\s*include\s*(["<])([^">]+)[">])re");
  std::smatch match;
  if (std::regex_search(line, match, include)) {
    ++findings->includes;
    const std::string why = judge_include(path, match[1] == "\"", match[2]);
    if (!why.empty()) findings->violations.push_back(where + why);
  }
  if (path.starts_with("tests/layering/")) return;  // names what it looks for
  const std::string code = line.substr(0, line.find("//"));
  for (const OwnedName& owned : owned_names()) {
    if (!path.starts_with(owned.owner) && std::regex_search(code, owned.name)) {
      findings->violations.push_back(where + "a library that only " + owned.owner + " may name");
    }
  }
}

inline void check_file(const fs::path& root, const std::string& path, Findings* findings) {
  // In pieces, so that this file obeys itself.
  static const std::regex open_work(
      "\\b(TO"
      "DO|FIX"
      "ME|XX"
      "X|HA"
      "CK)\\b");
  static const std::regex native_flag(
      "-m(arch|cpu|tune)="
      "native");
  std::ifstream file(root / path);
  const bool source = is_source(path);
  std::string line;
  size_t number = 0;
  while (std::getline(file, line)) {
    const std::string where = path + ":" + std::to_string(++number) + ": ";
    if (source) check_source_line(path, where, line, findings);
    if (is_build_file(path) && std::regex_search(line, native_flag)) {
      findings->violations.push_back(where + "flags of the building machine");
    }
    if (std::regex_search(line, open_work)) {
      findings->violations.push_back(where + "work left open");
    }
  }
  if (source) ++findings->files;
  if (source && number > kLinesMax) {
    findings->violations.push_back(path + ": " + std::to_string(number) + " lines, at most " +
                                   std::to_string(kLinesMax));
  }
}

// Reads every source, build and text file of the tree at `root`.
inline Findings check_tree(const fs::path& root) {
  Findings findings;
  std::vector<std::string> paths;
  for (const char* part : {"arch", "bench", "runtime", "simd", "tests", "tools", ".ci"}) {
    if (!fs::exists(root / part)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / part)) {
      if (entry.is_regular_file()) paths.push_back(fs::relative(entry.path(), root).string());
    }
  }
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_regular_file()) paths.push_back(entry.path().filename().string());
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    if (is_source(path) || is_build_file(path) || fs::path(path).extension() == ".md") {
      check_file(root, path, &findings);
    }
  }
  return findings;
}

}  // namespace nibble::layering
