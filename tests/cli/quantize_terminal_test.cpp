// nibble quantize before a person: the bar, and Ctrl-C while it grows.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/file/gguf_writer.h"
#include "tests/cli/child.h"

namespace nibble::test {
namespace {

TEST(QuantizeTerminal, TheBarGrowsAndCtrlCLeavesNothing) {
  const Folder folder;
  const std::string in = folder.file("in.gguf"), out = folder.file("out.gguf");
  constexpr uint64_t kColumns = 4096, kRows = 16384;  // many seconds of work, written in no time
  GgufWriter writer;
  writer.add_string("general.architecture", "llama");
  const size_t tensor = writer.add_tensor("blk.0.ffn_up.weight", Format::kBF16, {kColumns, kRows});
  std::vector<uint16_t> row(kColumns);
  for (size_t i = 0; i < kColumns; ++i) row[i] = static_cast<uint16_t>(0x3c00 + i * 37 % 512);
  ASSERT_TRUE(writer.create(in).ok());
  for (uint64_t r = 0; r < kRows; ++r) {
    const uint64_t bytes = kColumns * sizeof(uint16_t);
    ASSERT_TRUE(writer.write(tensor, r * bytes, row.data(), bytes).ok());
  }
  ASSERT_TRUE(writer.commit().ok());

  Terminal terminal({"quantize", in, out, "Q2_K", "-t", "1"});
  EXPECT_TRUE(terminal.expect("quantising ["));
  EXPECT_TRUE(terminal.expect(" % "));
  terminal.type("\x03");
  EXPECT_TRUE(terminal.expect("\r\033[K"));  // the bar is gone before the message
  EXPECT_TRUE(terminal.expect("nibble: stopped; nothing was written"));
  EXPECT_EQ(terminal.exit_code(), 130);
  const std::filesystem::directory_iterator files(std::filesystem::path(in).parent_path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

}  // namespace
}  // namespace nibble::test
