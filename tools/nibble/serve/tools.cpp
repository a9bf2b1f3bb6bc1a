#include "tools/nibble/serve/tools.h"

#include <algorithm>
#include <utility>

#include "runtime/model_impl.h"
#include "tools/nibble/serve/json_reader.h"
#include "tools/nibble/serve/json_schema.h"

namespace nibble::cli {
namespace {

constexpr size_t kToolsMax = 128;
constexpr size_t kNameMax = 64;
constexpr std::string_view kTag = "<tool_call>";

enum class Kind { kTagged, kBare, kDescribed };

Kind kind_of(const Model& model) {
  if (!model.is_chat_model()) return Kind::kDescribed;
  const std::string& source = model.impl().chat->source();
  const auto has = [&](const char* text) { return source.find(text) != std::string::npos; };
  if (!has("tools") || model.impl().chat->is_fallback()) return Kind::kDescribed;
  if (source.find(kTag) != std::string::npos) return Kind::kTagged;
  return has("ipython") ? Kind::kBare : Kind::kDescribed;
}

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= kNameMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-' || c == '.';
         });
}

Tool read_tool(const Json& json, const std::string& where) {
  if (!json.is_object()) refuse(where + " is not an object", where);
  const Fields outer(json, where + ".");
  if (outer.text("type").value_or("function") != "function") outer.wrong("type", "function");
  const Json* function = outer.object("function");
  if (function == nullptr) refuse(where + ".function is missing", where + ".function");
  const Fields inner(*function, where + ".function.");
  Tool tool;
  tool.name = inner.text("name").value_or("");
  if (!is_name(tool.name)) {
    refuse(where + ".function.name must be 1 to 64 letters, digits, '_', '-' or '.'",
           where + ".function.name");
  }
  inner.text("description");
  tool.function = *function;
  const Json* parameters = inner.object("parameters");
  Json schema = parameters != nullptr ? *parameters : Json::object();
  if (!inner.flag("strict").value_or(false)) schema = loosened(std::move(schema));
  tool.function.erase("strict");
  if (schema.value("type", Json("object")) != "object") {
    refuse(where + ".function.parameters must be a schema of an object",
           where + ".function.parameters");
  }
  schema["type"] = "object";
  tool.parameters = std::move(schema);
  return tool;
}

Json tool_list(const ToolUse& use) {
  Json list = Json::array();
  for (const Tool& tool : use.tools) {
    list.push_back({{"type", "function"}, {"function", tool.function}});
  }
  return list;
}

// Texts put together; also because GCC 12 warns about "x" + std::string(...) where nothing is
// wrong.
std::string joined(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) out += part;
  return out;
}

// A class of GBNF with one character, or without some.
std::string character_class(const std::string& characters, bool without) {
  std::string out = without ? "[^" : "[";
  for (const char c : characters) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == ']' || c == '[' || c == '^' || c == '-' || c == '"') out += '\\';
    out += c;
  }
  return out + "]";
}

// Rules t0, t1 ...: any text in which `opening` does not stand, or stands where `behind` follows
// it. A state for each beginning of it that the text so far ends with (Knuth, Morris and Pratt).
std::string text_until(const std::string& opening, const std::string& behind) {
  const auto next = [&](size_t state, char c) {
    const std::string seen = opening.substr(0, state) + c;
    for (size_t n = seen.size(); n > 0; --n) {
      if (seen.ends_with(opening.substr(0, n))) return n;
    }
    return size_t{0};
  };
  std::string letters = opening;
  std::sort(letters.begin(), letters.end());
  letters.erase(std::unique(letters.begin(), letters.end()), letters.end());
  std::string rules;
  for (size_t state = 0; state < opening.size(); ++state) {
    const std::string other = character_class(letters, true);
    rules += joined({"t", std::to_string(state), " ::= \"\" | ", other, " t0"});
    for (const char c : letters) {
      const size_t to = next(state, c);
      const std::string then = to == opening.size() ? behind : joined({"t", std::to_string(to)});
      rules += joined({" | ", gbnf_literal(std::string(1, c)), " ", then});
    }
    rules += "\n";
  }
  return rules;
}

// Rules t0, t1 ...: any text that does not begin with `opening`, or goes on with `behind` there.
std::string text_but(const std::string& opening, const std::string& behind) {
  std::string rules = "any ::= \"\" | [^\\x00] any\n";
  for (size_t i = 0; i < opening.size(); ++i) {
    const std::string c(1, opening[i]);
    const std::string then =
        i + 1 == opening.size() ? behind : joined({"t", std::to_string(i + 1)});
    rules += joined({"t", std::to_string(i), " ::= \"\" | ", character_class(c, true), " any | ",
                     gbnf_literal(c), " ", then, "\n"});
  }
  return rules;
}

// Before the conversation, for chat forms that have no place for tools: the form that Google
// documents for Gemma (ai.google.dev/gemma/docs/capabilities/function-calling).
std::string description(const ToolUse& use) {
  Json functions = Json::array();
  for (const Tool& tool : use.tools) functions.push_back(tool.function);
  return "You can call functions. To call one, answer with nothing but\n"
         "{\"name\": function name, \"parameters\": object of its arguments}\n"
         "and its result will be given to you. Call a function only if it helps; otherwise answer "
         "as usual.\n\n" +
         functions.dump(1) + "\n";
}

// Calls as text and results as a user's words, one after the other in one message.
std::vector<ChatMessage> flattened(const std::vector<ChatMessage>& messages, const ToolUse& use) {
  std::vector<ChatMessage> out;
  if (!use.tools.empty()) out.push_back({"system", description(use)});
  bool after_result = false;
  for (const ChatMessage& message : messages) {
    const bool is_result = message.role == "tool";
    std::string text = message.content;
    if (is_result) text = joined({"```tool_output\n", text, "\n```"});
    if (!message.tool_calls.empty()) {
      for (const Json& call : read_json(message.tool_calls, "tool_calls")) {
        const Json& function = call["function"];
        text += joined({text.empty() ? "" : "\n", "{\"name\": ", dump(function["name"]),
                        ", \"parameters\": ", dump(function["arguments"]), "}"});
      }
    }
    const std::string role = is_result ? "user" : message.role;
    const bool joins =
        !out.empty() && out.back().role == role &&
        ((role == "user" && (is_result || after_result)) || (role == "system" && out.size() == 1));
    if (joins) {
      out.back().content += "\n" + text;
    } else {
      out.push_back({role, std::move(text)});
    }
    after_result = is_result;
  }
  return out;
}

}  // namespace

ToolUse read_tools(const Fields& fields) {
  ToolUse use;
  const Json* list = fields.find("tools");
  if (list == nullptr || list->empty()) return use;
  if (!list->is_array() || list->size() > kToolsMax) {
    fields.wrong("tools", "a list of at most " + std::to_string(kToolsMax) + " tools");
  }
  for (size_t i = 0; i < list->size(); ++i) {
    use.tools.push_back(read_tool((*list)[i], "tools[" + std::to_string(i) + "]"));
  }
  use.parallel = fields.flag("parallel_tool_calls").value_or(true);
  const Json* choice = fields.find("tool_choice");
  if (choice == nullptr || *choice == "auto") return use;
  if (*choice == "none") {
    use.tools.clear();
    return use;
  }
  use.required = true;
  if (*choice == "required") return use;
  if (!choice->is_object()) {
    fields.wrong("tool_choice",
                 R"("none", "auto", "required" or {"type": "function", "function": {"name"}})");
  }
  const Json* function = Fields(*choice, "tool_choice.").object("function");
  const auto name =
      function == nullptr ? std::nullopt : Fields(*function, "tool_choice.function.").text("name");
  if (!name) refuse("tool_choice.function.name is missing", "tool_choice.function.name");
  const bool known = std::any_of(use.tools.begin(), use.tools.end(),
                                 [&](const Tool& tool) { return tool.name == *name; });
  if (!known) {
    refuse("tool_choice names '" + name->substr(0, 64) + "', which is not among the tools",
           "tool_choice");
  }
  use.only = *name;
  return use;
}

CallForm call_form(const Model& model) {
  if (kind_of(model) == Kind::kTagged) {
    return {std::string(kTag) + "\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>", true};
  }
  return {"{\"name\": \"", "\", \"parameters\": ", "}", false};
}

std::shared_ptr<const Grammar> call_grammar(const ToolUse& use, const CallForm& form) {
  Json schemas = Json::array();
  std::string behind;  // the opening
  for (const Tool& tool : use.tools) {
    const std::string rule = joined({"args", std::to_string(schemas.size())});
    schemas.push_back(tool.parameters);
    if (!use.only.empty() && tool.name != use.only) continue;
    behind += joined({behind.empty() ? "" : " | ", gbnf_literal(tool.name + form.separator), " ",
                      rule, " ", gbnf_literal(form.closing)});
  }
  const std::string opening = gbnf_literal(form.opening);
  const bool several = form.anywhere && use.parallel;
  std::string rules = joined({"one ::= ", behind, "\ncall ::= ", opening, " one\ncalls ::= one",
                              several ? " (\"\\n\" call){0,15}\n" : "\n"});
  if (use.required) {
    rules += joined({"root ::= ", opening, " calls\n"});
  } else if (form.anywhere) {
    const std::string rest = gbnf_literal(form.opening.substr(kTag.size()));
    rules += joined(
        {"root ::= t0\n", text_until(std::string(kTag), "rest"), "rest ::= ", rest, " calls\n"});
  } else {
    rules += joined({"root ::= t0\n", text_but(form.opening, "calls")});
  }
  return compile_grammar(rules + schema_rules(schemas, "tools"), "tools");
}

std::vector<int32_t> encode_messages(const Model& model, std::vector<ChatMessage> messages,
                                     const ToolUse& use, const std::string& name) {
  std::string tools;
  const bool has_tools =
      !use.tools.empty() || std::any_of(messages.begin(), messages.end(), [](const auto& m) {
        return m.role == "tool" || !m.tool_calls.empty();
      });
  if (has_tools && kind_of(model) == Kind::kDescribed) {
    messages = flattened(messages, use);
  } else if (!use.tools.empty()) {
    tools = dump(tool_list(use));
  }
  auto prompt = encode_chat(model, messages, tools);
  if (!prompt) throw ApiError{400, prompt.error().message, name};
  return std::move(*prompt);
}

}  // namespace nibble::cli
