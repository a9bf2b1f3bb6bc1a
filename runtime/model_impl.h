// What a Model holds: the mapped file, the network, its packed weights, and its text side.
// Read next: model.cpp, network.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/file/gguf.h"
#include "runtime/network.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/tokenizer.h"

namespace nibble {

struct Model::Impl {
  explicit Impl(GgufFile opened) : file(std::move(opened)) {}

  std::shared_ptr<Engine> engine;
  GgufFile file;
  std::string architecture;
  Network network;
  NodeArena packed;
  PageSample placed;  // of the weights' pages
  // Of the engine's workers, those that evaluate few tokens and many: the first ones.
  int decoders = 1;
  int readers = 1;
  // Memory nodes of the decoders (the system's numbers) where memory is bound to them, else none.
  std::vector<int> nodes;
  uint64_t weight_bytes = 0;
  uint64_t planned_bytes = 0;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat;
  bool has_template = false;
  std::vector<std::string> notes;
};

}  // namespace nibble
