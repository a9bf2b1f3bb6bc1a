// What programs that serve others need of a model beside answers: prompts of whole conversations,
// and texts as vectors.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/nibble.h"

namespace nibble {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"; "tool" where the chat form has it
  std::string content;
  // Of an assistant, the calls it made, as JSON: [{"type": "function", "function": {"name",
  // "arguments"}}]; empty: none. For chat forms that know tools.
  std::string tool_calls = {};
};

// The prompt for the next answer in a conversation, in the model's chat form; a model without one
// continues the messages' text. `tools`: those the model may call, a JSON list for the variable of
// this name in its template; empty: none. JSON as serialisers write it, with no needless escapes.
// Control tokens in messages and tools are plain text. Thread-safe. Error 64 with the template's
// own complaint.
Result<std::vector<int32_t>> encode_chat(const Model& model, std::span<const ChatMessage> messages,
                                         std::string_view tools = {});

// A text as a vector: the mean of the final hidden states of its tokens, of length 1. Thread-safe;
// makes and drops its own memory. Errors: 64 for no tokens, more than the context, or one outside
// the vocabulary; 65 for a model whose output is not finite; 71.
Result<std::vector<float>> embed(const std::shared_ptr<Model>& model, std::span<const int32_t> ids);

}  // namespace nibble
