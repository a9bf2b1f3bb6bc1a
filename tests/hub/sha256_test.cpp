// SHA-256 by the vectors that NIST publishes with FIPS 180-4.
#include <gtest/gtest.h>

#include "tools/nibble/hub/sha256.h"

namespace nibble::hub {
namespace {

std::string sum(const std::string& text) {
  Sha256 hash;
  hash.update(text.data(), text.size());
  return hash.finish();
}

TEST(Sha256Sum, PublishedVectors) {
  EXPECT_EQ(sum(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sum("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sum("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sum("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqk"
                "lmnopqrlmnopqrsmnopqrstnopqrstu"),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(sum(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Pieces of every length give what the whole does, over the lengths at which padding changes.
TEST(Sha256Sum, InPieces) {
  for (size_t bytes = 0; bytes < 200; ++bytes) {
    const std::string text(bytes, static_cast<char>('a' + bytes % 26));
    Sha256 hash;
    for (size_t at = 0, step = 1; at < bytes; at += step, step = step % 67 + 1) {
      hash.update(text.data() + at, std::min(step, bytes - at));
    }
    EXPECT_EQ(hash.finish(), sum(text)) << bytes;
  }
}

TEST(Sha256Sum, WhatLooksLikeOne) {
  EXPECT_TRUE(is_sha256(sum("")));
  EXPECT_FALSE(is_sha256(sum("").substr(1)));
  EXPECT_FALSE(is_sha256(std::string(64, 'G')));
}

}  // namespace
}  // namespace nibble::hub
