// Messages quote files and arguments of any origin; what they quote must not steer the terminal.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "tests/cli/child.h"
#include "tests/file/gguf_bytes.h"

namespace nibble::test {
namespace {

void expect_plain(const Outcome& outcome, int code) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_NE(outcome.err.find("nibble: "), std::string::npos);
  for (const char c : outcome.err) {
    const auto byte = static_cast<unsigned char>(c);
    EXPECT_TRUE(byte >= 0x20 || byte == '\n') << static_cast<int>(byte);
    EXPECT_NE(byte, 0x7f);
  }
}

TEST(MessagesOf, AFileHaveNoControlCharacters) {
  using gguf_test::entry;
  const Folder folder;
  const std::string clear = "\x1b[2J\x1b]0;title\x07key\x7f\r\b";
  const std::string files[] = {
      gguf_test::file({entry(clear, 77, "")}, {}, 0),
      gguf_test::file({entry(clear, 9, gguf_test::array(9, 1, ""))}, {}, 0),
      gguf_test::file({entry("general.architecture", 8, gguf_test::text(clear))}, {}, 0),
      gguf_test::file({}, {gguf_test::tensor(clear, {3}, 2, 0)}, 64),
  };
  for (const std::string& bytes : files) {
    std::ofstream(folder.file("m.gguf"), std::ios::binary) << bytes;
    expect_plain(run({"run", folder.file("m.gguf"), "-p", "x"}), 65);
  }
}

TEST(MessagesOf, ArgumentsHaveNoControlCharacters) {
  expect_plain(run({"run", "\x1b[2J.gguf", "-p", "x"}), 66);
  expect_plain(run({"run", "--no-such\x1b[2J"}), 64);
  expect_plain(run({"run", "--temp", "\x1b[2J"}), 64);
}

}  // namespace
}  // namespace nibble::test
