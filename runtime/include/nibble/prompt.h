// What programs that serve others need of a model beside answers: prompts of whole conversations,
// and texts as vectors.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nibble/nibble.h"

namespace nibble {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// The prompt for the next answer in a conversation, in the model's chat form; a model without one
// continues the messages' text. Control tokens in messages are plain text. Thread-safe. Error 64
// with the template's own complaint.
Result<std::vector<int32_t>> encode_chat(const Model& model, std::span<const ChatMessage> messages);

// A text as a vector: the mean of the final hidden states of its tokens, of length 1. Thread-safe;
// makes and drops its own memory. Errors: 64 for no tokens, more than the context, or one outside
// the vocabulary; 65 for a model whose output is not finite; 71.
Result<std::vector<float>> embed(const std::shared_ptr<Model>& model, std::span<const int32_t> ids);

}  // namespace nibble
