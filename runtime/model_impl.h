// What a Model holds: the mapped file, the network, its packed weights, and its text side.
// Read next: model.cpp, model/architecture.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/file/gguf.h"
#include "runtime/model/architecture.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/tokenizer.h"

namespace nibble {

struct Model::Impl {
  explicit Impl(GgufFile opened) : file(std::move(opened)) {}

  std::shared_ptr<Engine> engine;
  GgufFile file;
  std::string architecture;
  std::unique_ptr<Network> network;
  Buffer packed;
  uint64_t weight_bytes = 0;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat;
  bool has_template = false;
  std::vector<std::string> notes;
};

}  // namespace nibble
