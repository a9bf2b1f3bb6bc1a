// nibble quantize: the file it makes, the files it must not harm, and what it says.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "runtime/file/gguf.h"
#include "runtime/file/gguf_writer.h"
#include "tests/tools/program.h"

namespace nibble::tools_test {
namespace {

// A file with a matrix of [k, n] floats and a norm.
void write_model(const std::string& path, uint64_t k, uint64_t n, float special = 0,
                 uint64_t special_row = 0) {
  std::mt19937 generator(3);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> values(k * n), norm(k, 1.0f);
  for (float& value : values) value = normal(generator);
  if (special != 0) values[special_row * k + 5] = special;
  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  writer.add_uint32("general.file_type", 0);
  writer.add_uint32("llama.block_count", 8);
  writer.add_uint32("split.count", 1);
  const size_t a = writer.add_tensor("blk.2.ffn_up.weight", Format::kF32, {k, n});
  const size_t b = writer.add_tensor("blk.2.ffn_norm.weight", Format::kF32, {k});
  ASSERT_TRUE(writer.create(path).ok());
  ASSERT_TRUE(writer.write(a, 0, values.data(), values.size() * sizeof(float)).ok());
  ASSERT_TRUE(writer.write(b, 0, norm.data(), norm.size() * sizeof(float)).ok());
  ASSERT_TRUE(writer.commit().ok());
}

size_t files_in(const Folder& folder) {
  const std::filesystem::directory_iterator files(folder.path(""));
  return static_cast<size_t>(std::distance(begin(files), end(files)));
}

// Runs the program with `before` as the shell's commands ahead of it.
int run_after(const std::string& before, const std::string& arguments) {
  const std::string command = "(" + before + " " NIBBLE_BINARY_DIR "/nibble " + arguments +
                              ") >/dev/null 2>/dev/null </dev/null";
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Quantize, WritesAModelThatOpens) {
  const Folder folder;
  write_model(folder.path("in"), 512, 96);
  const std::string paths = folder.path("in") + " " + folder.path("out");
  const Output made = run_nibble("quantize " + paths + " q8_0");
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_NE(made.out.find("largest error"), std::string::npos) << made.out;
  const auto file = GgufFile::open(folder.path("out"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(*file->get_uint("general.file_type"), 7u);
  EXPECT_EQ(*file->get_uint("general.quantization_version"), 2u);
  EXPECT_EQ(*file->get_uint("llama.block_count"), 8u);
  EXPECT_EQ(file->find("split.count"), nullptr);
  EXPECT_EQ(*supported_format(*file->tensor("blk.2.ffn_up.weight")), Format::kQ8_0);
  EXPECT_EQ(*supported_format(*file->tensor("blk.2.ffn_norm.weight")), Format::kF32);
  EXPECT_EQ(files_in(folder), 2u);
}

TEST(Quantize, EveryTypeGivesTheSameBytesWithAnyNumberOfThreads) {
  const Folder folder;
  write_model(folder.path("in"), 768, 1024);
  for (const char* type : {"Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_S", "Q6_K", "IQ4_XS", "IQ4_NL", "Q4_0",
                           "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16"}) {
    std::string first;
    for (const char* threads : {"1", "2", "3"}) {
      const Output made = run_nibble("quantize " + folder.path("in") + " " + folder.path("out") +
                                     " " + type + " -t " + threads);
      ASSERT_EQ(made.exit_code, 0) << made.err;
      const std::string bytes = read_file(folder.path("out"));
      if (first.empty()) first = bytes;
      EXPECT_EQ(bytes, first) << type << " with " << threads << " threads";
    }
  }
}

TEST(Quantize, DryRunAndJson) {
  const Folder folder;
  write_model(folder.path("in"), 96, 8);
  const std::string command =
      "quantize " + folder.path("in") + " " + folder.path("out") + " Q4_K_M --dry-run";
  const Output text = run_nibble(command);
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_NE(text.out.find("blk.2.ffn_up.weight"), std::string::npos);
  EXPECT_NE(text.out.find("nothing was written"), std::string::npos);
  EXPECT_NE(text.err.find("Q5_0 for Q4_K"), std::string::npos) << text.err;
  const auto plan = nlohmann::json::parse(run_nibble(command + " --json").out);
  EXPECT_EQ(plan["tensors"][0]["to"], "Q5_0");
  EXPECT_EQ(plan["tensors"][0]["instead_of"], "Q4_K");
  EXPECT_EQ(plan["tensors"][1]["to"], "F32");
  EXPECT_EQ(plan["bytes_after"], 96 * 8 / 32 * 22 + 96 * 4);
  EXPECT_EQ(files_in(folder), 1u);
}

TEST(Quantize, TypesOfSingleTensors) {
  const Folder folder;
  write_model(folder.path("in"), 512, 8);
  const auto type = [&](const std::string& options) {
    const Output made = run_nibble("quantize " + folder.path("in") + " " + folder.path("out") +
                                   " Q4_0 --dry-run --json " + options);
    EXPECT_EQ(made.exit_code, 0) << made.err;
    return nlohmann::json::parse(made.out)["tensors"][0]["to"].get<std::string>();
  };
  EXPECT_EQ(type(""), "Q4_0");
  EXPECT_EQ(type("--tensor-type 'ffn_(up|down)=q6_k'"), "Q6_K");
  EXPECT_EQ(type("--tensor-type attn=Q6_K --tensor-type 'blk\\.[0-3]=F16'"), "F16");
  EXPECT_EQ(type("--head Q8_0"), "Q4_0");
}

// Both forms of an importance matrix; a matrix of another model is refused.
TEST(Quantize, Importances) {
  const Folder folder;
  constexpr uint32_t kColumns = 512;
  write_model(folder.path("in"), kColumns, 8);
  std::vector<float> sums(kColumns);
  for (size_t i = 0; i < kColumns; ++i) sums[i] = static_cast<float>(i % 7);
  {
    GgufWriter writer;
    writer.add_string("general.type", "imatrix");
    writer.add_uint32("imatrix.chunk_count", 3);
    const float count = 4;
    const size_t a = writer.add_tensor("blk.2.ffn_up.weight.in_sum2", Format::kF32, {kColumns, 1});
    const size_t b = writer.add_tensor("blk.2.ffn_up.weight.counts", Format::kF32, {1, 1});
    ASSERT_TRUE(writer.create(folder.path("gguf")).ok());
    ASSERT_TRUE(writer.write(a, 0, sums.data(), kColumns * sizeof(float)).ok());
    ASSERT_TRUE(writer.write(b, 0, &count, sizeof(count)).ok());
    ASSERT_TRUE(writer.commit().ok());
  }
  {
    const std::string name = "blk.2.ffn_up.weight";
    std::ofstream dat(folder.path("dat"), std::ios::binary);
    const auto put = [&](int32_t value) {
      dat.write(reinterpret_cast<const char*>(&value), sizeof(value));
    };
    put(1);
    put(static_cast<int32_t>(name.size()));
    dat << name;
    put(4);  // calls
    put(kColumns);
    dat.write(reinterpret_cast<const char*>(sums.data()), kColumns * sizeof(float));
  }
  const auto made = [&](const std::string& options) {
    const Output output = run_nibble("quantize " + folder.path("in") + " " + folder.path("out") +
                                     " Q4_K_S " + options);
    EXPECT_EQ(output.exit_code, 0) << output.err;
    const auto file = GgufFile::open(folder.path("out"));
    const GgufTensor& tensor = *file->tensor("blk.2.ffn_up.weight");
    return std::string(reinterpret_cast<const char*>(tensor.data), tensor.bytes);
  };
  const std::string gguf = made("--imatrix " + folder.path("gguf"));
  EXPECT_EQ(*GgufFile::open(folder.path("out"))->get_uint("quantize.imatrix.chunks_count"), 3u);
  EXPECT_EQ(made("--imatrix " + folder.path("dat")), gguf);
  EXPECT_NE(made(""), gguf);

  const auto refused = [&](const std::string& bytes) {
    std::ofstream(folder.path("bad"), std::ios::binary) << bytes;
    return run_nibble("quantize " + folder.path("in") + " " + folder.path("out2") +
                      " Q4_0 --imatrix " + folder.path("bad"))
        .exit_code;
  };
  const std::string dat = read_file(folder.path("dat"));
  for (size_t cut : {size_t{0}, size_t{3}, size_t{10}, size_t{30}, dat.size() - 1}) {
    EXPECT_EQ(refused(dat.substr(0, cut)), 65) << cut;
  }
  std::string longer = dat;
  longer[4] = '\x7f';  // a name of 127 bytes
  EXPECT_EQ(refused(longer), 65);
  write_model(folder.path("in"), 256, 8);  // another shape
  EXPECT_EQ(refused(dat), 65);
}

TEST(Quantize, DamagedWeightsAreNamed) {
  const Folder folder;
  const std::string command = "quantize " + folder.path("in") + " " + folder.path("out") + " -t 2 ";
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    write_model(folder.path("in"), 512, 3000, bad, 1234);
    const Output made = run_nibble(command + "Q4_K_M");
    EXPECT_EQ(made.exit_code, 65);
    EXPECT_NE(made.err.find("blk.2.ffn_up.weight: row 1234"), std::string::npos) << made.err;
    EXPECT_NE(made.err.find("damaged"), std::string::npos) << made.err;
  }
  write_model(folder.path("in"), 512, 8, 1e6f, 3);
  const Output large = run_nibble(command + "F16");
  EXPECT_EQ(large.exit_code, 65);
  EXPECT_NE(large.err.find("BF16"), std::string::npos) << large.err;
  EXPECT_EQ(run_nibble(command + "BF16").exit_code, 0);
}

TEST(Quantize, Errors) {
  const Folder folder;
  write_model(folder.path("in"), 100, 8);
  const std::string in = "quantize " + folder.path("in") + " ";
  const std::string before = read_file(folder.path("in"));
  const auto fails = [&](const std::string& arguments, int code, const std::string& said) {
    const Output made = run_nibble(arguments);
    EXPECT_EQ(made.exit_code, code) << arguments;
    EXPECT_NE(made.err.find(said), std::string::npos) << made.err;
  };
  fails(in + folder.path("out") + " Q9_K", 64, "IQ4_XS");
  fails(in + folder.path("in") + " Q4_0", 64, "input itself");
  ASSERT_EQ(symlink("in", folder.path("link").c_str()), 0);
  fails(in + folder.path("link") + " Q4_0", 64, "input itself");
  ASSERT_EQ(link(folder.path("in").c_str(), folder.path("hard").c_str()), 0);
  fails(in + folder.path("hard") + " Q4_0", 64, "input itself");
  fails(in + folder.path("out") + " Q4_0 --tensor-type ffn", 64, "REGEX=TYPE");
  fails(in + folder.path("out") + " Q4_0 --tensor-type '(=Q4_0'", 64, "regular expression");
  fails(in + folder.path("out") + " Q4_0 --tensor-type ffn=Q4_K_M", 64, "Q4_K");
  fails(in + folder.path("out") + " Q4_0 --tensor-type ffn_up=Q4_0", 64, "rows of 100");
  fails(in + folder.path("out") + " Q4_0 --head Q1", 64, "--head");
  fails(in + folder.path("out") + " Q4_0 --imatrix none", 66, "none");
  fails(in + folder.path("none/out") + " Q4_0", 73, "none");
  fails(in + "/dev/full Q4_0", 73, "/dev/full");
  fails("quantize none " + folder.path("out") + " Q4_0", 66, "none");
  EXPECT_EQ(read_file(folder.path("in")), before);
  EXPECT_EQ(files_in(folder), 3u);
}

// std::regex recurses over pattern and text alike, so both are bounded.
TEST(Quantize, RulesOfAnyLength) {
  const Folder folder;
  write_model(folder.path("in"), 512, 8);
  const auto with = [&](const std::string& rule) {
    return run_nibble("quantize " + folder.path("in") + " " + folder.path("out") +
                      " Q4_0 --dry-run --tensor-type '" + rule + "=Q8_0'");
  };
  const Output nested = with(std::string(30000, '(') + std::string(30000, ')'));
  EXPECT_EQ(nested.exit_code, 64);
  EXPECT_EQ(nested.err,
            "nibble: --tensor-type: a regular expression of 60000 characters, at most 256\n");
  EXPECT_EQ(with(std::string(128, '(') + std::string(128, ')')).exit_code, 0);
  EXPECT_EQ(with(std::string(257, 'a')).exit_code, 64);

  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  const size_t tensor =
      writer.add_tensor(std::string(60000, 'a') + "weight", Format::kF32, {32, 1});
  const std::vector<float> values(32, 1.0f);
  ASSERT_TRUE(writer.create(folder.path("in")).ok());
  ASSERT_TRUE(writer.write(tensor, 0, values.data(), 32 * sizeof(float)).ok());
  ASSERT_TRUE(writer.commit().ok());
  const Output longest = with("(a|b)*weight");
  EXPECT_EQ(longest.exit_code, 65);
  EXPECT_NE(longest.err.find("a name of 60006 bytes"), std::string::npos) << longest.err;
}

// A file system of 256 KiB, where the system lets a test have one.
TEST(Quantize, AFullFileSystemLeavesNothing) {
  const Folder folder;
  write_model(folder.path("in"), 512, 1024);
  std::filesystem::create_directory(folder.path("small"));
  const std::string mounted = "unshare -rm sh -c 'mount -t tmpfs -o size=256k tmpfs " +
                              folder.path("small") + " 2>/dev/null || exit 77; ";
  if (std::system((mounted + "true' 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "no file system can be mounted here";
  }
  const std::string said = folder.path("said");
  const int status =
      std::system((mounted + NIBBLE_BINARY_DIR "/nibble quantize " + folder.path("in") + " " +
                   folder.path("small") + "/out Q8_0 2>" + said + "; code=$?; ls -A " +
                   folder.path("small") + " >>" + said + "; exit $code'")
                      .c_str());
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 74);
  EXPECT_EQ(read_file(said), "nibble: " + folder.path("small") +
                                 "/out: reserving space failed: No space left on device; free some "
                                 "space or choose another disk\n");
}

TEST(Quantize, AFullDiskLeavesTheOldFile) {
  const Folder folder;
  write_model(folder.path("in"), 512, 1024);
  std::ofstream(folder.path("out")) << "precious";
  EXPECT_EQ(run_after("ulimit -f 64; exec",
                      "quantize " + folder.path("in") + " " + folder.path("out") + " Q8_0"),
            74);
  EXPECT_EQ(read_file(folder.path("out")), "precious");
  EXPECT_EQ(files_in(folder), 2u);
}

TEST(Quantize, CtrlCLeavesNothing) {
  const Folder folder;
  write_model(folder.path("in"), 4096, 8192);  // seconds of work
  std::ofstream(folder.path("out")) << "precious";
  const std::string paths = folder.path("in") + " " + folder.path("out");
  EXPECT_EQ(
      run_after("exec timeout --preserve-status -s INT 0.3", "quantize " + paths + " Q2_K -t 1"),
      130);
  EXPECT_EQ(
      run_after("exec timeout --preserve-status -s TERM 0.3", "quantize " + paths + " Q2_K -t 1"),
      143);
  EXPECT_EQ(read_file(folder.path("out")), "precious");
  EXPECT_EQ(files_in(folder), 2u);
}

}  // namespace
}  // namespace nibble::tools_test
