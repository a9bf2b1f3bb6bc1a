// Tools that a model may call: read from a request, shown to the model, and the grammar that holds
// its answer to a call.
//
// Three forms, by the model's chat template. Tagged (Qwen, Hermes): the template takes `tools`, a
// call is <tool_call>{"name", "arguments"}</tool_call>. Bare (Llama 3.x): the template takes
// `tools`, the answer is {"name", "parameters"}. Others, Gemma 3 among them, have no place for
// tools: they are described before the conversation, a call is as in the bare form, and results are
// a user's message. Read next: call_reader.h.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nibble/batch.h"
#include "nibble/prompt.h"
#include "tools/nibble/serve/call_reader.h"
#include "tools/nibble/serve/fields.h"

namespace nibble::cli {

struct Tool {
  std::string name;
  Json function;  // name, description, parameters: as it was sent
  Json parameters;
};

struct ToolUse {
  std::vector<Tool> tools;  // empty: none
  bool required = false;    // the answer is a call
  std::string only = {};    // of this one; empty: of any
  bool parallel = true;     // there may be several
};

// The fields tools, tool_choice and parallel_tool_calls; with tool_choice "none" there are none.
// Throws ApiError.
ToolUse read_tools(const Fields& fields);

CallForm call_form(const Model& model);

// What the answer may be: text or calls, or calls alone. Throws ApiError.
std::shared_ptr<const Grammar> call_grammar(const ToolUse& use, const CallForm& form);

// The prompt of a conversation that may hold calls and their results. Throws ApiError about the
// field `name`.
std::vector<int32_t> encode_messages(const Model& model, std::vector<ChatMessage> messages,
                                     const ToolUse& use, const std::string& name);

}  // namespace nibble::cli
