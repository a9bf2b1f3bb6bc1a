#include "tools/nibble/serve/fields.h"

#include <cmath>
#include <random>

#include "tools/nibble/serve/json_reader.h"

namespace nibble::cli {
namespace {

constexpr size_t kMessagesMax = 4096;

std::string short_value(const Json& value) {
  std::string text = dump(value);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

std::string number_text(double number) {
  std::string text = Json(number).dump();
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

// A list of parts: the texts of those of type text (or input_text, output_text), one after the
// other.
std::string joined_parts(const Json& parts, const std::string& where) {
  std::string text;
  for (const Json& part : parts) {
    const bool is_text = part.is_object() && part.contains("text") && part["text"].is_string();
    if (!is_text) {
      refuse(where + " has a part that is not text; this model reads text alone", where);
    }
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

// The calls of an assistant's message, in the form of ChatMessage::tool_calls; empty: none.
std::string read_calls(const Json& message, const std::string& where) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || calls->is_null() || calls->empty()) return {};
  if (!calls->is_array() || calls->size() > kMessagesMax) refuse(where + " must be a list", where);
  Json out = Json::array();
  for (const Json& call : *calls) {
    const Json* function =
        call.is_object() && call.contains("function") ? &call["function"] : nullptr;
    if (function == nullptr || !function->is_object() || !function->contains("name") ||
        !(*function)["name"].is_string()) {
      refuse(where + " holds a call without function.name", where);
    }
    Json arguments = function->value("arguments", Json::object());
    if (arguments.is_string()) {
      try {
        arguments = read_json(arguments.get_ref<const std::string&>(), "arguments");
      } catch (const ApiError&) {
        arguments = nullptr;  // said below
      }
    }
    if (!arguments.is_object()) {
      refuse(where + " holds a call whose arguments are not a JSON object", where);
    }
    out.push_back({{"type", "function"},
                   {"function", {{"name", (*function)["name"]}, {"arguments", arguments}}}});
  }
  return dump(out);
}

}  // namespace

Json parse_body(std::string_view body) {
  Json json = read_json(body, "the body");
  if (!json.is_object()) refuse("the body is not a JSON object");
  return json;
}

void Fields::wrong(const std::string& name, const std::string& allowed) const {
  refuse(prefix_ + name + " is " + short_value(object_.at(name)) + "; it must be " + allowed,
         prefix_ + name);
}

const Json* Fields::find(const std::string& name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<double> Fields::real(const std::string& name, double low, double high) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : NAN;
  if (!(number >= low && number <= high)) {
    wrong(name, "a number from " + number_text(low) + " to " + number_text(high));
  }
  return number;
}

std::optional<int64_t> Fields::whole(const std::string& name, int64_t low, int64_t high) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  const std::string allowed =
      "a whole number from " + std::to_string(low) + " to " + std::to_string(high);
  if (value->is_number_unsigned()) {
    const auto number = value->get<uint64_t>();
    if (number > static_cast<uint64_t>(high) || static_cast<int64_t>(number) < low) {
      wrong(name, allowed);
    }
    return static_cast<int64_t>(number);
  }
  // 1.0 is a whole number in JSON.
  const double number = value->is_number() ? value->get<double>() : NAN;
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high)) ||
      number != std::trunc(number) || std::fabs(number) > 9e15) {
    wrong(name, allowed);
  }
  return static_cast<int64_t>(number);
}

std::optional<bool> Fields::flag(const std::string& name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) wrong(name, "true or false");
  return value->get<bool>();
}

std::optional<std::string> Fields::text(const std::string& name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) wrong(name, "a text");
  return value->get<std::string>();
}

std::vector<std::string> Fields::texts(const std::string& name, size_t most) const {
  const Json* value = find(name);
  if (value == nullptr) return {};
  if (value->is_string()) return {value->get<std::string>()};
  const std::string allowed = "a text, or a list of at most " + std::to_string(most) + " texts";
  if (!value->is_array() || value->size() > most) wrong(name, allowed);
  std::vector<std::string> out;
  for (const Json& element : *value) {
    if (!element.is_string()) wrong(name, allowed);
    out.push_back(element.get<std::string>());
  }
  return out;
}

const Json* Fields::object(const std::string& name) const {
  const Json* value = find(name);
  if (value != nullptr && !value->is_object()) wrong(name, "an object");
  return value;
}

SamplingOptions read_sampling(const Fields& fields, const Model& model, int64_t context) {
  SamplingOptions s = recommended_sampling(model);
  const auto real = [&](const char* name, double low, double high, float* out) {
    const auto value = fields.real(name, low, high);
    if (value) *out = static_cast<float>(*value);
    return value.has_value();
  };
  real("temperature", 0, 100, &s.temperature);
  real("top_p", 0, 1, &s.top_p);
  real("min_p", 0, 1, &s.min_p);
  real("repeat_penalty", 0.01, 100, &s.repeat_penalty);
  if (const auto top_k = fields.whole("top_k", 0, 1'000'000)) s.top_k = static_cast<int>(*top_k);
  const bool presence = real("presence_penalty", -2, 2, &s.presence_penalty);
  const bool frequency = real("frequency_penalty", -2, 2, &s.frequency_penalty);
  // Those two count over the whole text.
  if (presence || frequency) s.penalty_last_n = static_cast<int>(context);
  const auto seed = fields.whole("seed", -9'000'000'000'000'000, INT64_MAX);
  s.seed = seed ? static_cast<uint64_t>(*seed) : std::random_device()();
  return s;
}

std::vector<ChatMessage> read_messages(const Fields& fields, const std::string& name) {
  const Json* list = fields.find(name);
  if (list == nullptr) refuse(name + " is missing", name);
  if (!list->is_array() || list->empty() || list->size() > kMessagesMax) {
    fields.wrong(name, "a list of 1 to " + std::to_string(kMessagesMax) + " messages");
  }
  std::vector<ChatMessage> messages;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string where = name + "[" + std::to_string(i) + "]";
    if (!(*list)[i].is_object()) refuse(where + " is not an object", where);
    const Fields message((*list)[i], where + ".");
    std::string role = message.text("role").value_or("");
    if (role == "developer") role = "system";
    if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
      refuse(where + ".role must be system, developer, user, assistant or tool", where + ".role");
    }
    const Json* content = message.find("content");
    std::string text;
    if (content != nullptr && content->is_array()) {
      text = joined_parts(*content, where + ".content");
    } else if (content != nullptr) {
      text = *message.text("content");
    } else if (role != "assistant") {
      refuse(where + ".content is missing", where + ".content");
    }
    std::string calls;
    if (role == "assistant") calls = read_calls((*list)[i], where + ".tool_calls");
    messages.push_back({std::move(role), std::move(text), std::move(calls)});
  }
  return messages;
}

}  // namespace nibble::cli
