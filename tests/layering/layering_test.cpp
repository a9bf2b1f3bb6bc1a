// The tree obeys the rules of rules.h, and each rule finds a file that breaks it.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <string>

#include "tests/layering/rules.h"

namespace nibble::layering {
namespace {

TEST(Layering, TreeObeys) {
  const Findings findings = check_tree(NIBBLE_SOURCE_DIR);
  for (const std::string& violation : findings.violations) ADD_FAILURE() << violation;
  // So that a walk which finds nothing to read cannot pass.
  EXPECT_GT(findings.files, 20u);
  EXPECT_GT(findings.includes, 100u);
}

// A tree with one file in it.
class OneFileTree {
 public:
  OneFileTree(const std::string& path, const std::string& content) {
    std::string name = (fs::temp_directory_path() / "nibble_layering_XXXXXX").string();
    root_ = mkdtemp(name.data());
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << content;
  }
  ~OneFileTree() { fs::remove_all(root_); }
  OneFileTree(const OneFileTree&) = delete;
  OneFileTree& operator=(const OneFileTree&) = delete;
  const fs::path& root() const { return root_; }

 private:
  fs::path root_;
};

struct Case {
  const char* path;
  std::string content;
};

class Breaks : public testing::TestWithParam<Case> {};

TEST_P(Breaks, IsFound) {
  const OneFileTree tree(GetParam().path, GetParam().content);
  const Findings findings = check_tree(tree.root());
  ASSERT_EQ(findings.violations.size(), 1u);
  EXPECT_EQ(findings.violations[0].find(GetParam().path), 0u) << findings.violations[0];
}

INSTANTIATE_TEST_SUITE_P(
    Rules, Breaks,
    testing::Values(
        Case{"simd/a.cpp", "#include \"runtime/session.h\"\n"},
        Case{"simd/a.cpp", "#include \"nibble/result.h\"\n"},
        Case{"simd/a.cpp", "#include <fmt/format.h>\n"},
        Case{"simd/a_inl.h", "#include <vector>\n"}, Case{"simd/abi.h", "#include <cstdint>\n"},
        Case{"arch/avx2/a.cpp", "#include \"simd/registry.h\"\n"},
        Case{"arch/avx2/a.cpp", "#include \"arch/avx512/a.h\"\n"},
        Case{"arch/avx2/a.cpp", "#include <algorithm>\n"},
        Case{"arch/avx2/a.cpp", "#  include <xsimd/xsimd.hpp>\n"},
        Case{"runtime/a.cpp", "#include \"tools/nibble/command.h\"\n"},
        Case{"runtime/a.cpp", "#include \"arch/avx2/a.h\"\n"},
        Case{"runtime/a.cpp", "#include \"local.h\"\n"},
        Case{"runtime/a.cpp", "#include <nlohmann/json.hpp>\n"},
        Case{"runtime/include/nibble/a.h", "#include \"runtime/session.h\"\n"},
        Case{"runtime/a.cpp", "void f() { tbb::task_arena arena; }\n"},
        Case{"runtime/machine/a.cpp", "hwloc_topology_t topology;\n"},
        Case{"runtime/a.cpp", "#include <mimalloc.h>\n"},
        Case{"tools/a.cpp", "#include \"arch/avx2/a.h\"\n"},
        Case{"tools/examples/a.cpp", "#include \"runtime/session.h\"\n"},
        Case{"bench/a.cpp", "#include \"arch/avx2/a.h\"\n"},
        Case{"tests/a/a.cpp", "#include \"arch/avx2/a.h\"\n"},
        Case{"other.cpp", "#include <vector>\n"},
        Case{"CMakeLists.txt", std::string("add_compile_options(-march=") + "native)\n"},
        Case{"CMakePresets.json", std::string("{\"CMAKE_CXX_FLAGS\": \"-mcpu=") + "native\"}\n"},
        Case{"tools/dev", std::string("export CXXFLAGS=-mtune=") + "native\n"},
        Case{"runtime/a.cpp", std::string("// TO") + "DO: more\n"},
        Case{"README.md", std::string("FIX") + "ME\n"},
        Case{"runtime/a.cpp", std::string(kLinesMax + 1, '\n')}));

class Obeys : public testing::TestWithParam<Case> {};

TEST_P(Obeys, IsLeftAlone) {
  const OneFileTree tree(GetParam().path, GetParam().content);
  const Findings findings = check_tree(tree.root());
  for (const std::string& violation : findings.violations) ADD_FAILURE() << violation;
}

INSTANTIATE_TEST_SUITE_P(
    Rules, Obeys,
    testing::Values(
        Case{"arch/avx2/a.cpp",
             "#include <immintrin.h>\n#include <math.h>\n#include \"arch/avx2/a.h\"\n"
             "#include \"simd/abi.h\"\n#include \"simd/elementwise_inl.h\"\n"},
        Case{"simd/a_inl.h", "#include <stdint.h>\n#include \"simd/xsimd_inl.h\"\n"},
        Case{"simd/xsimd_inl.h", "#include <algorithm>\n#include <xsimd/xsimd.hpp>\n"},
        Case{"runtime/a.cpp",
             "#include <sys/mman.h>\n#include <vector>\n#include \"simd/cpu.h\"\n"},
        Case{"runtime/a.cpp", "int a;  // what tbb::task_arena and hwloc_bitmap_t would do\n"},
        Case{"runtime/machine/thread_team.cpp",
             "#include <tbb/task_arena.h>\ntbb::task_arena a;\n"},
        Case{"runtime/machine/topology.cpp", "#include <hwloc.h>\nhwloc_topology_t topology;\n"},
        Case{"runtime/a.cpp", std::string(kLinesMax, '\n')}));

}  // namespace
}  // namespace nibble::layering
