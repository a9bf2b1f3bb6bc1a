// What /v1/responses reads: the input's items (messages, calls of functions and their results) as a
// conversation, and tools in that API's own form. Read next: tools.h.
#pragma once

#include <vector>

#include "nibble/prompt.h"
#include "tools/nibble/serve/fields.h"
#include "tools/nibble/serve/tools.h"

namespace nibble::cli {

// The field input: a text, or a list of items. Throws ApiError.
std::vector<ChatMessage> read_response_input(const Fields& fields);

// What the response says again of its request.
struct ResponseEcho {
  ToolUse use;
  Json tools = Json::array();
  Json tool_choice = "auto";
  bool parallel = true;
  Json instructions;  // null: none
};

// The fields tools, tool_choice and parallel_tool_calls. Throws ApiError.
ResponseEcho read_response_tools(const Fields& fields);

}  // namespace nibble::cli
