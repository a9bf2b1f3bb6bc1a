#include "tools/nibble/serve/response_input.h"

#include <set>
#include <string>
#include <utility>

#include "tools/nibble/serve/json_reader.h"

namespace nibble::cli {
namespace {

std::string element(const char* list, size_t index) {
  return list + ("[" + std::to_string(index) + "]");
}

// A text that has to be there.
std::string required(const Fields& fields, const std::string& where, const char* name) {
  const auto text = fields.text(name);
  if (!text) refuse(where + "." + name + " is missing", where + "." + name);
  return *text;
}

// An item in the form of a message of /v1/chat/completions.
Json as_message(const Json& item, const std::string& where, std::set<std::string>* calls) {
  if (!item.is_object()) refuse(where + " is not an object", where);
  const Fields fields(item, where + ".");
  const std::string type = fields.text("type").value_or("message");
  if (type == "message") return item;
  if (type == "function_call") {
    calls->insert(required(fields, where, "call_id"));
    const Json function = {{"name", required(fields, where, "name")},
                           {"arguments", required(fields, where, "arguments")}};
    return {{"role", "assistant"}, {"tool_calls", Json::array({{{"function", function}}})}};
  }
  if (type == "function_call_output") {
    const std::string id = required(fields, where, "call_id");
    if (calls->count(id) == 0) {
      refuse(where + ".call_id is '" + id.substr(0, 60) + "', of no function_call before it",
             where + ".call_id");
    }
    const Json* output = fields.find("output");
    if (output == nullptr) refuse(where + ".output is missing", where + ".output");
    return {{"role", "tool"}, {"content", *output}};
  }
  refuse(where + ".type is '" + type.substr(0, 60) +
             "'; message, function_call and function_call_output are offered",
         where + ".type");
}

// What an assistant said and the calls behind it are one message to a chat template.
std::vector<ChatMessage> calls_joined(std::vector<ChatMessage> messages) {
  std::vector<ChatMessage> out;
  for (ChatMessage& message : messages) {
    const bool joins = !out.empty() && !message.tool_calls.empty() && message.content.empty() &&
                       out.back().role == "assistant";
    if (!joins) {
      out.push_back(std::move(message));
    } else if (out.back().tool_calls.empty()) {
      out.back().tool_calls = std::move(message.tool_calls);
    } else {
      Json calls = read_json(out.back().tool_calls, "input");
      for (Json& call : read_json(message.tool_calls, "input")) calls.push_back(std::move(call));
      out.back().tool_calls = dump(calls);
    }
  }
  return out;
}

}  // namespace

std::vector<ChatMessage> read_response_input(const Fields& fields) {
  const Json* input = fields.find("input");
  if (input == nullptr) refuse("input is missing", "input");
  if (!input->is_array()) return {{"user", *fields.text("input")}};
  std::set<std::string> calls;
  Json messages = Json::array();
  for (size_t i = 0; i < input->size(); ++i) {
    messages.push_back(as_message((*input)[i], element("input", i), &calls));
  }
  const Json wrapped = {{"input", std::move(messages)}};
  return calls_joined(read_messages(Fields(wrapped), "input"));
}

ResponseEcho read_response_tools(const Fields& fields) {
  ResponseEcho echo;
  Json wrapped = Json::object();
  const Json* tools = fields.find("tools");
  if (tools != nullptr && !tools->is_array()) fields.wrong("tools", "a list");
  if (tools != nullptr && !tools->empty()) {
    Json list = Json::array();
    for (size_t i = 0; i < tools->size(); ++i) {
      const std::string where = element("tools", i);
      const Json& tool = (*tools)[i];
      if (!tool.is_object()) refuse(where + " is not an object", where);
      const Fields of_tool(tool, where + ".");
      if (of_tool.text("type").value_or("") != "function") {
        refuse(where + ".type must be function; no other tools are offered", where + ".type");
      }
      Json function = tool;
      function.erase("type");
      list.push_back({{"type", "function"}, {"function", std::move(function)}});
      Json shown = tool;
      if (!shown.contains("parameters")) shown["parameters"] = nullptr;
      if (!shown.contains("strict")) shown["strict"] = false;
      echo.tools.push_back(std::move(shown));
    }
    wrapped["tools"] = std::move(list);
  }
  if (const Json* choice = fields.find("tool_choice")) {
    echo.tool_choice = *choice;
    const bool named = choice->is_object() && choice->contains("name");
    wrapped["tool_choice"] =
        named ? Json{{"type", "function"}, {"function", {{"name", (*choice)["name"]}}}} : *choice;
  }
  if (const auto parallel = fields.flag("parallel_tool_calls")) {
    echo.parallel = *parallel;
    wrapped["parallel_tool_calls"] = *parallel;
  }
  echo.use = read_tools(Fields(wrapped));
  return echo;
}

}  // namespace nibble::cli
