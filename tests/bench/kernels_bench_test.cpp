// kernels_bench as a person or a script runs it: its flags, the names it lists, the JSON that
// compare.py reads, and one short run of everything. Its figures are not tested.
#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/file/gguf.h"
#include "simd/format.h"
#include "simd/registry.h"
#include "tests/tools/program.h"

namespace nibble {
namespace {

using nlohmann::json;
using tools_test::Folder;
using tools_test::Output;
using tools_test::read_file;

constexpr const char* kProgram = NIBBLE_BINARY_DIR "/bench/kernels_bench";
constexpr const char* kModel = NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf";
// One iteration each, on little memory.
constexpr const char* kShort = " --benchmark_min_time=0.000001 --cold-mib=4 ";

// `arguments` as a shell takes them; `runner` comes before the program.
Output run_bench(const std::string& arguments, const std::string& runner = "") {
  const Folder folder;
  const std::string command = runner + " " + kProgram + " " + arguments + " >" +
                              folder.path("out") + " 2>" + folder.path("err") + " </dev/null";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          read_file(folder.path("out")), read_file(folder.path("err"))};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string format_and_level(const Kernel& kernel) {
  std::string text(format_info(kernel.entry->format).name);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text.append("/").append(kernel.level->name);
}

bool usable(const Kernel& kernel) {
  return (kernel.level->required & ~detect_cpu_features()) == 0;
}

class KernelsBench : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kProgram)) GTEST_SKIP() << "built without Google Benchmark";
  }

  // The JSON of a run, which must end well.
  json run_json(const std::string& arguments) {
    const Folder folder;
    const std::string file = folder.path("out.json");
    const Output output = run_bench(kShort + arguments + " --benchmark_out=" + file);
    EXPECT_EQ(output.exit_code, 0) << output.out << output.err;
    json result = json::parse(read_file(file), nullptr, false);
    EXPECT_FALSE(result.is_discarded()) << output.err;
    return result;
  }
};

TEST_F(KernelsBench, HelpFitsAndNamesEveryFlag) {
  const Output output = run_bench("--help");
  EXPECT_EQ(output.exit_code, 0);
  for (const std::string& line : lines_of(output.out)) EXPECT_LE(line.size(), 80u) << line;
  for (const char* flag : {"--shape=", "--model=", "--threads=", "--cold-mib=", "--jsonl=",
                           "--benchmark_filter=", "--benchmark_out=", "Examples:"}) {
    EXPECT_NE(output.out.find(flag), std::string::npos) << flag;
  }
}

TEST_F(KernelsBench, BadFlagsSayWhatToDo) {
  const struct {
    const char* arguments;
    int exit_code;
    const char* message;
  } cases[] = {
      {"--shape=1,2", 64, "want M,N,K"},
      {"--shape=1,2,33", 64, "multiple of 32"},
      {"--shape=1,2,32,", 64, "want M,N,K"},
      {"--shape=0,2,32", 64, "want M,N,K"},
      {"--shape=1,2,99999999999999999999", 64, "want M,N,K"},
      {"--shape", 64, "--shape=VALUE"},
      {"--threads=0", 64, "1 to 1024"},
      {"--threads=-1", 64, "1 to 1024"},
      {"--threads=two", 64, "1 to 1024"},
      {"--threads 2", 64, "--threads=VALUE"},
      {"--cold-mib=0", 64, "MiB"},
      {"--cold-mib=1x", 64, "MiB"},
      {"--model=", 64, "name of a file"},
      {"--model=/no/such.gguf", 66, "/no/such.gguf"},
      {"--model=/dev/null", 66, "/dev/null"},
      {"--shape=1,2,32 --model=x.gguf", 64, "one of them"},
      {"--jsonl=/no/such/folder/file --benchmark_filter=gemv", 73, "cannot write"},
      {"--no-such-flag", 64, "--help"},
      {"stray", 64, "--help"},
      {"--benchmark_filter=no_such_kernel", 64, "--benchmark_list_tests"},
  };
  for (const auto& c : cases) {
    const Output output = run_bench(c.arguments);
    EXPECT_EQ(output.exit_code, c.exit_code) << c.arguments << "\n" << output.err;
    EXPECT_NE(output.err.find(c.message), std::string::npos) << c.arguments << "\n" << output.err;
  }
}

TEST_F(KernelsBench, ListsEveryKernelOfTheRegistryOnce) {
  const Output output = run_bench("--benchmark_list_tests");
  ASSERT_EQ(output.exit_code, 0) << output.err;
  EXPECT_EQ(output.err, "");  // nothing was measured
  const std::vector<std::string> names = lines_of(output.out);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  for (const Kernel& kernel : all_kernels()) {
    const std::string op(kernel.entry->op == Op::kMatmul ? "gemv" : op_name(kernel.entry->op));
    const std::string start = op + "/" + format_and_level(kernel);
    bool found = false;
    for (const std::string& name : names) found |= name == start || name.starts_with(start + "/");
    EXPECT_TRUE(found) << start << " has no bench: add its op to cases_for()";
  }
}

TEST_F(KernelsBench, NamesTellShapeAndPlace) {
  const Output output = run_bench(
      "--benchmark_list_tests --shape=1,48,64 --shape=3,48,64 --shape=3,48,64 "
      "--shape=9,48,64 --benchmark_filter='gem[mv]/q4_0/scalar'");
  EXPECT_EQ(
      lines_of(output.out),
      (std::vector<std::string>{"gemv/q4_0/scalar/n48/k64", "gemm/q4_0/scalar/m3/n48/k64",
                                "gemm/q4_0/scalar/m9/n48/k64", "gemv/q4_0/scalar/n48/k64/cold",
                                "gemm/q4_0/scalar/m3/n48/k64/cold"}));
}

TEST_F(KernelsBench, TakesTheShapesAndFormatsOfAModel) {
  auto file = GgufFile::open(kModel);
  ASSERT_TRUE(file.ok());
  std::set<std::string> expected;
  for (const GgufTensor& tensor : file->tensors()) {
    if (tensor.dims.size() < 2) continue;
    const Format format = *format_from_gguf(tensor.type_id);
    const Kernel* kernel = select_kernel(Op::kMatmul, format, 0);
    expected.insert("gemv/" + format_and_level(*kernel) + "/n" + std::to_string(tensor.dims[1]) +
                    "/k" + std::to_string(tensor.dims[0]));
  }
  const Output output = run_bench(std::string("--benchmark_list_tests --model=") + kModel +
                                  " --benchmark_filter='gemv/[a-z0-9_]+/scalar/n[0-9]+/k[0-9]+$'");
  const std::vector<std::string> names = lines_of(output.out);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()), expected);
  EXPECT_EQ(names.size(), expected.size());
}

// What tools/compare.py of Google Benchmark reads.
void expect_comparable(const json& row) {
  const std::string name = row.value("name", "");
  EXPECT_TRUE(row.at("run_name").is_string()) << name;
  EXPECT_TRUE(row.at("real_time").is_number()) << name;
  EXPECT_TRUE(row.at("cpu_time").is_number()) << name;
  EXPECT_TRUE(row.at("iterations").is_number()) << name;
  EXPECT_EQ(row.at("time_unit"), "ns") << name;
  EXPECT_TRUE(row.at("run_type") == "iteration" || row.at("run_type") == "aggregate") << name;
}

TEST_F(KernelsBench, EverythingRuns) {
  const json result = run_json("--shape=1,48,64 --shape=3,40,256");
  std::set<std::string> ops;
  for (const json& row : result.at("benchmarks")) {
    const std::string name = row.at("name");
    if (row.value("error_occurred", false)) {
      EXPECT_EQ(row.at("error_message").get<std::string>().rfind("this CPU lacks ", 0), 0u)
          << name << ": " << row.at("error_message");
      continue;
    }
    expect_comparable(row);
    EXPECT_GT(row.at("real_time"), 0) << name;
    for (const auto& [key, value] : row.items()) {
      if (!value.is_number_float()) continue;
      EXPECT_TRUE(std::isfinite(value.get<double>()) && value >= 0) << name << " " << key;
    }
    const bool cold = name.ends_with("/cold");
    const std::string op = name.substr(0, name.find('/'));
    EXPECT_EQ(row.contains("%read"), cold) << name;
    EXPECT_EQ(row.contains("GB/s"), op != "peak") << name;
    const bool multiplies = op == "gemv" || op == "gemm" || op == "attend" || op == "peak";
    EXPECT_EQ(row.contains("GMAC/s"), multiplies) << name;
    const bool floats = name.find("/f32/") != std::string::npos ||
                        name.find("/f16/") != std::string::npos ||
                        name.find("/bf16/") != std::string::npos;
    const bool int8 = name.starts_with("gem") && !floats;
    EXPECT_EQ(row.contains("%peak"), op == "peak" || (int8 && !cold)) << name;
    ops.insert(op);
  }
  for (const Kernel& kernel : all_kernels()) {
    if (!usable(kernel) || kernel.entry->op == Op::kMatmul) continue;
    EXPECT_TRUE(ops.count(std::string(op_name(kernel.entry->op)))) << op_name(kernel.entry->op);
  }
}

TEST_F(KernelsBench, ContextTellsMachineAndBuild) {
  const json context = run_json("--benchmark_filter=rms_norm/f32/scalar").at("context");
  for (const char* key :
       {"cpu", "isa_levels", "governor", "commit", "compiler", "version", "threads", "pinned_cpus",
        "pages", "llc_mib", "cold_mib", "read_gb_per_s", "peak_gmac_per_s_scalar", "cycles"}) {
    ASSERT_TRUE(context.contains(key)) << key;
    EXPECT_NE(context.at(key), "") << key;
    EXPECT_EQ(context.at(key).get<std::string>().find('/'), std::string::npos) << key;  // no paths
  }
  EXPECT_EQ(context.at("executable"), "kernels_bench");
  EXPECT_EQ(context.at("cold_mib"), "4");
  EXPECT_TRUE(context.contains("date"));
}

TEST_F(KernelsBench, RepetitionsHaveAggregates) {
  const json rows =
      run_json("--benchmark_filter=rms_norm/f32/scalar --benchmark_repetitions=3").at("benchmarks");
  std::set<std::string> aggregates;
  int iterations = 0;
  for (const json& row : rows) {
    expect_comparable(row);
    EXPECT_EQ(row.at("run_name"), "rms_norm/f32/scalar/n6912");
    EXPECT_TRUE(row.contains("GB/s"));
    if (row.at("run_type") == "aggregate") {
      aggregates.insert(row.at("aggregate_name"));
    } else {
      ++iterations;
    }
  }
  EXPECT_EQ(iterations, 3);
  EXPECT_EQ(aggregates, (std::set<std::string>{"mean", "median", "stddev", "cv"}));
}

TEST_F(KernelsBench, ThreadsShareTheWork) {
  const json result = run_json(
      "--threads=2 --shape=1,48,64 --benchmark_filter='(gemv/q4_0|attend/f16|to_kv/f16)/scalar'");
  EXPECT_EQ(result.at("context").at("threads"), "2");
  EXPECT_EQ(result.at("benchmarks").size(), 6u);
  for (const json& row : result.at("benchmarks")) {
    EXPECT_FALSE(row.contains("error_occurred")) << row.dump();
  }
}

TEST_F(KernelsBench, JsonLinesAreCompleteEach) {
  const Folder folder;
  const std::string file = folder.path("lines");
  const Output output = run_bench(std::string(kShort) +
                                  "--benchmark_filter='(add|scale)/f32/scalar' --jsonl=" + file);
  ASSERT_EQ(output.exit_code, 0) << output.err;
  const std::vector<std::string> lines = lines_of(read_file(file));
  ASSERT_EQ(lines.size(), 2u);
  for (const std::string& text : lines) {
    const json line = json::parse(text);
    for (const char* key : {"name", "cpu", "commit", "compiler", "threads", "GB/s", "cpu_time"}) {
      EXPECT_TRUE(line.contains(key)) << key << " in " << text;
    }
  }
}

#ifdef NIBBLE_QEMU
TEST_F(KernelsBench, TellsWhatTheCpuLacks) {
  const Output output =
      run_bench(std::string(kShort) + "--shape=1,48,64 --benchmark_filter='(gemv|rms_norm)/'",
                std::string(NIBBLE_QEMU) + " -cpu Nehalem");
  EXPECT_EQ(output.exit_code, 0) << output.err;
  bool ran = false;
  for (const std::string& line : lines_of(output.out)) {
    if (!line.starts_with("gemv/") && !line.starts_with("rms_norm/")) continue;
    const bool scalar = line.find("/scalar/") != std::string::npos;
    EXPECT_NE(scalar, line.find("this CPU lacks avx") != std::string::npos) << line;
    ran |= scalar;
  }
  EXPECT_TRUE(ran) << output.out;
}
#endif

}  // namespace
}  // namespace nibble
