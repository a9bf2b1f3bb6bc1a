// A home of its own, and a hub that has the story model as hf:a/b/m-Q4_0.gguf.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

#include "tests/cli/child.h"
#include "tests/hub/fake_hub.h"

namespace nibble::test {

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

class StoryHub : public testing::Test {
 protected:
  StoryHub() {
    hub_.repositories["a/b"]["m-Q4_0.gguf"] = read_file(kModel);
    environment_ = {{"HOME", home_.path()},
                    {"OLLAMA_MODELS", home_.file("none")},
                    {"NIBBLE_HOME", home_.file("store")},
                    {"HF_ENDPOINT", hub_.address()}};
  }

  Folder home_;
  FakeHub hub_;
  Environment environment_;  // of programs that ask it
};

}  // namespace nibble::test
