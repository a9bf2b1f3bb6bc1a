// nibble synth: the files it makes have the shapes they are named after.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "runtime/file/gguf.h"
#include "simd/half_inl.h"
#include "tests/tools/program.h"

namespace nibble::tools_test {
namespace {

struct Known {
  const char* name;
  size_t tensors, matrices;
  uint64_t embedding, vocabulary, layers;
};

void PrintTo(const Known& known, std::ostream* out) {
  *out << known.name;
}

class SynthShapes : public testing::TestWithParam<Known> {};

// Sizes of the published models; the large ones would take too long here.
TEST_P(SynthShapes, HasTheTensorsOfTheModel) {
  const Known& known = GetParam();
  const Folder folder;
  const Output made = run_nibble(std::string("synth ") + known.name + " " + folder.path("m.gguf"));
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(made.out, "");
  EXPECT_EQ(made.err, "");
  const auto file = GgufFile::open(folder.path("m.gguf"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->tensors().size(), known.tensors);
  size_t matrices = 0;
  for (const GgufTensor& tensor : file->tensors()) {
    const auto format = supported_format(tensor);
    ASSERT_TRUE(format.ok());
    if (*format == Format::kQ4_0) ++matrices;
  }
  EXPECT_EQ(matrices, known.matrices);
  EXPECT_EQ(file->tensor("token_embd.weight")->dims,
            (std::vector<uint64_t>{known.embedding, known.vocabulary}));
  const std::string architecture = *file->get_string("general.architecture");
  EXPECT_EQ(*file->get_uint(architecture + ".block_count"), known.layers);
  EXPECT_EQ(*file->get_uint(architecture + ".embedding_length"), known.embedding);
  const auto& tokens = (*file->get_array("tokenizer.ggml.tokens"))->strings;
  EXPECT_EQ(tokens.size(), known.vocabulary);
  EXPECT_EQ(std::set<std::string>(tokens.begin(), tokens.end()).size(), tokens.size());
  EXPECT_EQ((*file->get_array("tokenizer.ggml.token_type"))->ints.size(), known.vocabulary);
}

INSTANTIATE_TEST_SUITE_P(Synth, SynthShapes,
                         testing::Values(Known{"gemma3-tiny", 93, 49, 96, 512, 7},
                                         Known{"llama-tiny", 20, 14, 96, 512, 2},
                                         Known{"gemma3-270m", 236, 126, 640, 262144, 18},
                                         Known{"smollm2-135m", 272, 210, 576, 49152, 30}));

TEST(Synth, GemmaSpecialTokensAreWhereTheyBelong) {
  const Folder folder;
  ASSERT_EQ(run_nibble("synth gemma3-270m --head q4_0 " + folder.path("m")).exit_code, 0);
  const auto file = GgufFile::open(folder.path("m"));
  ASSERT_TRUE(file.ok());
  const auto& tokens = (*file->get_array("tokenizer.ggml.tokens"))->strings;
  const auto& types = (*file->get_array("tokenizer.ggml.token_type"))->ints;
  EXPECT_EQ(tokens[2], "<bos>");
  EXPECT_EQ(tokens[105], "<start_of_turn>");
  EXPECT_EQ(tokens[106], "<end_of_turn>");
  EXPECT_EQ(types[106], 3);
  EXPECT_EQ(tokens[107], "\n");
  EXPECT_EQ(tokens[137], std::string(31, '\n'));
  EXPECT_EQ(tokens[238], "<0x00>");
  EXPECT_EQ(tokens[493], "<0xFF>");
  EXPECT_EQ(types[493], 6);
  EXPECT_EQ(tokens[494], "\u2581a");
  EXPECT_EQ(types[494], 1);
}

TEST(Synth, SameSeedSameBytes) {
  const Folder folder;
  const auto bytes = [&](const std::string& options) {
    EXPECT_EQ(run_nibble("synth gemma3-tiny " + folder.path("m") + options).exit_code, 0);
    return read_file(folder.path("m"));
  };
  const std::string first = bytes("");
  EXPECT_EQ(bytes(""), first);
  EXPECT_EQ(bytes(" --seed 0"), first);
  EXPECT_NE(bytes(" --seed 1"), first);
  EXPECT_EQ(bytes(" --seed 1").size(), first.size());
}

// Deviation of the weights is 1/sqrt(k) in every format, of the norms a little around 1.
TEST(Synth, WeightsAreGaussian) {
  const Folder folder;
  for (const char* head : {"f16", "q8_0", "q4_0"}) {
    ASSERT_EQ(run_nibble("synth gemma3-tiny " + folder.path("m") + " --head " + head).exit_code, 0);
    const auto file = GgufFile::open(folder.path("m"));
    ASSERT_TRUE(file.ok());
    const GgufTensor& tensor = *file->tensor("token_embd.weight");
    const Format format = *supported_format(tensor);
    EXPECT_EQ(format_info(format).name, head == std::string("f16")    ? "F16"
                                        : head == std::string("q8_0") ? "Q8_0"
                                                                      : "Q4_0");
    double sum = 0, squares = 0;
    size_t count = 0;
    const auto add = [&](double weight) {
      sum += weight;
      squares += weight * weight;
      ++count;
    };
    const FormatInfo& info = format_info(format);
    for (uint64_t at = 0; at < tensor.bytes; at += info.block_bytes) {
      const uint8_t* block = tensor.data + at;
      const float head_value = f32_from_f16(static_cast<uint16_t>(block[0] | block[1] << 8));
      if (format == Format::kF16) add(head_value);
      for (size_t i = 2; i < info.block_bytes; ++i) {
        if (format == Format::kQ8_0) add(head_value * static_cast<int8_t>(block[i]));
        if (format == Format::kQ4_0) {
          add(head_value * ((block[i] & 15) - 8));
          add(head_value * ((block[i] >> 4) - 8));
        }
      }
    }
    ASSERT_EQ(count, 96u * 512u);
    EXPECT_NEAR(sum / static_cast<double>(count), 0, 0.002);
    EXPECT_NEAR(std::sqrt(squares / static_cast<double>(count)) * std::sqrt(96.0), 1, 0.02);
  }
}

TEST(Synth, Errors) {
  const Folder folder;
  const Output unknown = run_nibble("synth gpt5 " + folder.path("m"));
  EXPECT_EQ(unknown.exit_code, 64);
  EXPECT_NE(unknown.err.find("gemma3-270m"), std::string::npos);
  EXPECT_EQ(run_nibble("synth gemma3-tiny").exit_code, 64);
  EXPECT_EQ(run_nibble("synth gemma3-tiny " + folder.path("m") + " --head q5_0").exit_code, 64);
  EXPECT_EQ(run_nibble("synth gemma3-tiny " + folder.path("m") + " --seed -1").exit_code, 64);
  EXPECT_EQ(run_nibble("synth gemma3-tiny /dev/full").exit_code, 73);
  EXPECT_EQ(run_nibble("synth gemma3-tiny " + folder.path("none/m")).exit_code, 73);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path("")));
}

}  // namespace
}  // namespace nibble::tools_test
