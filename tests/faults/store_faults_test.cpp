// The store of models when the system fails it: whenever `nibble pull` or `import` fails or dies, a
// model is there whole or not at all, and the next attempt succeeds.
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/faults/fault.h"
#include "tests/hub/fake_hub.h"

#if defined(NIBBLE_FAULT_SHIM)

namespace nibble::test {
namespace {

class StoreFaults : public ::testing::Test {
 protected:
  StoreFaults() : bytes_(read_bytes(kModel)) {
    hub_.repositories["a/b"]["m-Q4_0.gguf"] = bytes_;
    environment_ = {{"HOME", home_.path()},
                    {"OLLAMA_MODELS", home_.file("none")},
                    {"NIBBLE_HOME", home_.file("store")},
                    {"HF_ENDPOINT", hub_.address()}};
  }

  // Every model in the store.
  std::vector<std::string> models() const {
    std::vector<std::string> paths;
    std::error_code none;
    for (std::filesystem::recursive_directory_iterator at(home_.file("store"), none), end;
         at != end; ++at) {
      if (at->path().extension() == ".gguf") paths.push_back(at->path());
    }
    return paths;
  }

  // Does one thing to each call at some of its places; how often that ended the program.
  size_t strike_everywhere(const std::vector<std::string>& arguments, const std::string& what) {
    size_t struck = 0;
    const auto made = count_calls(arguments, environment_);
    for (const char* call : {"create", "write", "fsync", "rename", "ftruncate", "fallocate"}) {
      for (const long place : places(made.at(call), 1)) {
        const std::string fault = at_place(call, place, what);
        SCOPED_TRACE(fault);
        std::filesystem::remove_all(home_.file("store"));
        const Outcome outcome = run(arguments, {.environment = with_fault(fault, environment_)});
        if (outcome.code != 0) {
          ++struck;
          EXPECT_TRUE(what == "kill" ? outcome.code == 128 + SIGKILL : is_clear_error(outcome))
              << outcome.code << outcome.err;
        }
        const std::vector<std::string> left = models();
        for (const std::string& path : left) EXPECT_EQ(read_bytes(path), bytes_) << path;
        const Outcome again = run(arguments, {.environment = environment_});
        const bool refused = arguments[0] == "import" && !left.empty();  // as it is there already
        EXPECT_EQ(again.code, refused ? 64 : 0) << again.err;
        EXPECT_EQ(models().size(), 1U);
        for (const std::string& path : models()) EXPECT_EQ(read_bytes(path), bytes_) << path;
      }
    }
    return struck;
  }

  const Folder home_;
  const std::string bytes_;
  FakeHub hub_;
  Environment environment_;
};

TEST_F(StoreFaults, APullThatDies) {
  EXPECT_GE(strike_everywhere({"pull", "hf:a/b:Q4_0"}, "kill"), 6U);
}

TEST_F(StoreFaults, APullOnAFullDisk) {
  const std::string full = std::to_string(ENOSPC);
  EXPECT_GE(strike_everywhere({"pull", "hf:a/b:Q4_0", "--retries", "0"}, full), 4U);
}

TEST_F(StoreFaults, AnImportThatDies) {
  EXPECT_GE(strike_everywhere({"import", kModel, "mine"}, "kill"), 6U);
}

TEST_F(StoreFaults, AnImportOnAFullDisk) {
  EXPECT_GE(strike_everywhere({"import", kModel, "mine"}, std::to_string(ENOSPC)), 4U);
}

TEST_F(StoreFaults, HalvesAndInterruptionsAreMadeGood) {
  for (const std::string fault : {"write:1+:short", "write:2:4", "read:1+:short", "read:2:4"}) {
    SCOPED_TRACE(fault);
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"pull", "hf:a/b:Q4_0"}, {"import", kModel, "mine"}}) {
      std::filesystem::remove_all(home_.file("store"));
      const Outcome outcome = run(arguments, {.environment = with_fault(fault, environment_)});
      EXPECT_EQ(outcome.code, 0) << outcome.err;
      ASSERT_EQ(models().size(), 1U);
      EXPECT_EQ(read_bytes(models()[0]), bytes_);
    }
  }
}

}  // namespace
}  // namespace nibble::test

#endif  // NIBBLE_FAULT_SHIM
