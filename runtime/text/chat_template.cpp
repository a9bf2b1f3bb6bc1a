#include "runtime/text/chat_template.h"

#include <utility>

#include "runtime/file/check.h"
#include "runtime/text/chat_forms.h"
#include "runtime/text/jinja_json.h"

namespace nibble {
namespace {

std::tm local_time() {
  const std::time_t seconds = std::time(nullptr);
  std::tm now = {};
  localtime_r(&seconds, &now);
  return now;
}

// The system text before the first user message, for templates that have no system role.
std::vector<ChatMessage> fold_system(const std::vector<ChatMessage>& messages) {
  std::string system;
  size_t rest = 0;
  for (; rest < messages.size() && messages[rest].role == "system"; ++rest) {
    if (rest > 0) system += "\n\n";
    system += messages[rest].content;
  }
  std::vector<ChatMessage> folded(messages.begin() + static_cast<std::ptrdiff_t>(rest),
                                  messages.end());
  if (rest == 0) return folded;
  if (folded.empty() || folded[0].role != "user") {
    folded.insert(folded.begin(), {"user", std::move(system)});
  } else {
    folded[0].content = system + "\n\n" + folded[0].content;
  }
  return folded;
}

bool contains_all(const std::string& text, const std::vector<ChatMessage>& messages) {
  for (const ChatMessage& message : messages) {
    if (text.find(message.content) == std::string::npos) return false;
  }
  return true;
}

}  // namespace

ChatTemplate ChatTemplate::create(std::string_view source, std::string_view architecture,
                                  std::string_view bos_text, std::string_view eos_text) {
  ChatTemplate result;
  result.source_ = source;
  result.bos_text_ = bos_text;
  result.eos_text_ = eos_text;
  std::string reason = "the file has no chat template";
  if (!source.empty()) {
    const Result<void> adopted = result.adopt(source);
    if (adopted.ok()) return result;
    reason = "the file's chat template cannot be used (" + adopted.error().message + ")";
  }
  const ChatForm& form = chat_form(architecture, bos_text, eos_text);
  result.fallback_ = true;
  result.notes_ = {reason + "; using the form: " + std::string(form.name)};
  NIBBLE_CHECK(result.adopt(form.source).ok());
  return result;
}

Result<void> ChatTemplate::adopt(std::string_view source) {
  NIBBLE_TRY(template_, jinja::Template::parse(source));
  const std::vector<ChatMessage> chat = {
      {"user", "first question"}, {"assistant", "first answer"}, {"user", "second question"}};
  std::vector<ChatMessage> with_system = chat;
  with_system.insert(with_system.begin(), {"system", "system text"});
  std::tm day = {};
  day.tm_year = 100;
  day.tm_mday = 1;

  fold_system_ = false;
  const Result<std::string> whole = render_as_is(with_system, true, day);
  if (whole.ok() && contains_all(*whole, with_system)) return {};
  NIBBLE_TRY(const std::string text, render_as_is(chat, true, day));
  if (!contains_all(text, chat)) {
    return Error{ErrorCode::kData, "chat template: it loses messages of a conversation"};
  }
  fold_system_ = true;
  notes_.push_back(
      "the chat form has no system role; system text goes before the first user message");
  return {};
}

Result<std::string> ChatTemplate::render(const std::vector<ChatMessage>& messages,
                                         bool add_generation_prompt, const std::tm* now,
                                         std::string_view tools) const {
  if (messages.empty()) return Error{ErrorCode::kUsage, "chat template: there are no messages"};
  return render_as_is(fold_system_ ? fold_system(messages) : messages, add_generation_prompt,
                      now != nullptr ? *now : local_time(), tools);
}

Result<std::string> ChatTemplate::render_as_is(const std::vector<ChatMessage>& messages,
                                               bool add_generation_prompt, const std::tm& now,
                                               std::string_view tools) const {
  jinja::Limits limits;
  size_t bytes = (bos_text_.size() + eos_text_.size()) * (messages.size() + 1) + tools.size();
  for (const ChatMessage& message : messages) {
    bytes += message.role.size() + message.content.size() + message.tool_calls.size();
  }
  // A long conversation is no fault of the template: each message may be copied a few times.
  limits.steps += bytes + 100 * messages.size();
  limits.text_bytes += 4 * bytes;
  limits.memory_bytes += 16 * bytes + 10'000 * messages.size();

  jinja::Heap heap(limits);
  jinja::Dict globals;
  jinja::List list;
  for (const ChatMessage& message : messages) {
    jinja::Dict* dict = heap.dict();
    dict->items = {{std::string_view("role"), std::string_view(message.role)},
                   {std::string_view("content"), std::string_view(message.content)}};
    if (!message.tool_calls.empty()) {
      NIBBLE_TRY(const jinja::Value calls, jinja::read_json(heap, message.tool_calls));
      dict->items.emplace_back(std::string_view("tool_calls"), calls);
    }
    list.items.push_back(dict);
  }
  const auto set = [&](std::string_view name, jinja::Value value) {
    globals.items.emplace_back(name, value);
  };
  set("messages", &list);
  set("add_generation_prompt", add_generation_prompt);
  set("bos_token", std::string_view(bos_text_));
  set("eos_token", std::string_view(eos_text_));
  // Absent, but defined: as apply_chat_template passes them.
  jinja::Value callable = jinja::None{};
  if (!tools.empty()) {
    NIBBLE_TRY(callable, jinja::read_json(heap, tools));
  }
  set("tools", callable);
  set("documents", jinja::None{});
  return template_.render(heap, globals, now);
}

}  // namespace nibble
