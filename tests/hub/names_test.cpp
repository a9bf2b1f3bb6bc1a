// Names of models as people write them, types and shards in the names of files, and which paths may
// become files.
#include <gtest/gtest.h>

#include "tools/nibble/hub/model_name.h"

namespace nibble::hub {
namespace {

TEST(ModelNames, AliasesAreFilesOfAHub) {
  for (const Alias& alias : aliases()) {
    const auto name = parse_model_name(std::string(alias.name));
    ASSERT_TRUE(name);
    EXPECT_EQ(name->kind, ModelName::Kind::kHub);
    EXPECT_EQ(shown_name(name->hub), alias.name);
    const auto same = parse_model_name(name->hub.text());  // an alias and its file are one model
    ASSERT_TRUE(same) << name->hub.text();
    EXPECT_EQ(same->hub.file, alias.file);
    EXPECT_NE(type_of(alias.file), "");
  }
  EXPECT_EQ(parse_model_name("Gemma3:1B")->hub.repository, "google/gemma-3-1b-it-qat-q4_0-gguf");
}

TEST(ModelNames, TheHubsForms) {
  const auto repository = parse_model_name("hf:ggml-org/gemma-3-1b-it-GGUF");
  ASSERT_TRUE(repository);
  EXPECT_EQ(repository->hub.repository, "ggml-org/gemma-3-1b-it-GGUF");
  EXPECT_EQ(repository->hub.file + repository->hub.type, "");
  EXPECT_EQ(parse_model_name("hf:a/b:Q4_K_M")->hub.type, "Q4_K_M");
  EXPECT_EQ(parse_model_name("hf:a/b:UD-Q4_K_XL")->hub.type, "UD-Q4_K_XL");
  EXPECT_EQ(parse_model_name("hf:a/b/sub/c.gguf")->hub.file, "sub/c.gguf");
  for (const char* page : {"https://huggingface.co/a/b/resolve/main/c.gguf?download=true",
                           "https://huggingface.co/a/b/blob/main/c.gguf"}) {
    const auto name = parse_model_name(page);
    ASSERT_TRUE(name) << page;
    EXPECT_EQ(name->hub.text(), "hf:a/b/c.gguf");
  }
  EXPECT_EQ(parse_model_name("https://huggingface.co/a/b")->hub.text(), "hf:a/b");
  EXPECT_EQ(parse_model_name("https://huggingface.co.evil.org/a/b/resolve/main/c.gguf")->kind,
            ModelName::Kind::kUrl);
  EXPECT_EQ(parse_model_name("https://example.org/x/y.gguf?a=b")->kind, ModelName::Kind::kUrl);
  EXPECT_EQ(parse_model_name("gemma.gguf")->kind, ModelName::Kind::kOther);
}

TEST(ModelNames, MistakesAreToldWithTheForms) {
  for (const char* text :
       {"hf:", "hf:a", "hf:a/", "hf:/b", "hf:a/b/", "hf:a/b/../c.gguf", "hf:../b/c.gguf",
        "hf:a/b//etc/passwd.gguf", "hf:a/b/c.bin", "hf:a/b:latest", "hf:a b/c", "hf:a/b:",
        "hf:a/.b", "hf:a/b/.hidden.gguf", "https://example.org/", "https://example.org/x.zip",
        "https://user:secret@example.org/x.gguf", "https://example.org/a b.gguf"}) {
    const auto name = parse_model_name(text);
    ASSERT_FALSE(name) << text;
    EXPECT_EQ(name.error().code, ErrorCode::kUsage);
    EXPECT_NE(name.error().message.find("gguf"), std::string::npos) << name.error().message;
  }
}

TEST(ModelNames, TypesByTheNamesOfFiles) {
  EXPECT_EQ(type_of("gemma-3-1b-it-q4_0.gguf"), "Q4_0");
  EXPECT_EQ(type_of("sub/Qwen3-0.6B-UD-Q4_K_XL.gguf"), "UD-Q4_K_XL");
  EXPECT_EQ(type_of("model.Q8_0.gguf"), "Q8_0");
  EXPECT_EQ(type_of("Llama-3.2-1B-Instruct-IQ4_XS.gguf"), "IQ4_XS");
  EXPECT_EQ(type_of("big-Q6_K-00001-of-00003.gguf"), "Q6_K");
  EXPECT_EQ(type_of("gpt-oss-mxfp4.gguf"), "MXFP4");
  EXPECT_EQ(type_of("x-BF16.gguf"), "BF16");
  EXPECT_EQ(type_of("gemma-3-1b-it.gguf"), "");
  EXPECT_EQ(type_of(""), "");
}

TEST(ModelNames, Shards) {
  const auto shard = shard_of("a/b-00002-of-00003.gguf");
  ASSERT_TRUE(shard);
  EXPECT_EQ(shard->base, "a/b");
  EXPECT_EQ(shard->number, 2u);
  EXPECT_EQ(shard->count, 3u);
  for (const char* other : {"b-00004-of-00003.gguf", "b-00000-of-00003.gguf", "b-0001-of-0002.gguf",
                            "-00001-of-00002.gguf", "b.gguf", "b-00001-of-0000x.gguf"}) {
    EXPECT_FALSE(shard_of(other)) << other;
  }
  EXPECT_EQ(shard_names("b-00001-of-00002.gguf"),
            (std::vector<std::string>{"b-00001-of-00002.gguf", "b-00002-of-00002.gguf"}));
  EXPECT_EQ(shard_names("b.gguf"), std::vector<std::string>{"b.gguf"});
}

TEST(ModelNames, OnlyPathsThatStayBelowBecomeFiles) {
  for (const char* good : {"a", "a/b.gguf", "a b.gguf", "a:b"}) EXPECT_TRUE(is_safe_path(good));
  for (const std::string& bad :
       {std::string(""), std::string("/etc/passwd"), std::string(".."), std::string("a/../b"),
        std::string("a/./b"), std::string("a//b"), std::string("a/"), std::string(".a"),
        std::string("a\\b"), std::string("a\nb"), std::string("a\0b", 3), std::string(201, 'a')}) {
    EXPECT_FALSE(is_safe_path(bad)) << bad;
  }
}

}  // namespace
}  // namespace nibble::hub
