// Chat templates: sources and messages. The template ends at the first byte 0; roles and messages,
// each ended by a 0, follow it.
#include <nlohmann/json.hpp>

#include "runtime/text/chat_template.h"
#include "tests/fuzz/all.h"
#include "tests/text/jinja_render.h"
#include "tests/tools/program.h"

namespace nibble::fuzz {

void run_jinja(std::string_view input) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= input.size() && parts.size() < 9;) {
    const size_t end = std::min(input.find('\0', at), input.size());
    parts.emplace_back(input.substr(at, end - at));
    at = end + 1;
  }
  std::vector<ChatMessage> messages;
  for (size_t i = 1; i + 1 < parts.size(); i += 2) messages.push_back({parts[i], parts[i + 1]});
  if (messages.empty()) messages = {{"user", "Hello"}, {"assistant", "Hi"}, {"user", "Bye"}};

  // Smaller budgets than a model's, so that inputs are quick; that they hold is the point.
  const jinja::Limits limits = {
      .steps = 100'000, .text_bytes = 1 << 20, .memory_bytes = 8 << 20, .source_bytes = 1 << 20};
  const auto text = jinja::render_test(parts[0], messages, true, limits);
  if (text) {
    require(text->size() <= limits.text_bytes, "output has a limit");
  } else {
    require_readable(text.error());
  }
  const auto chat = ChatTemplate::create(parts[0], "gemma3", "<bos>", "<eos>");
  const std::tm now = jinja::test_clock();
  const auto prompt = chat.render(messages, true, &now);
  if (!prompt) require_readable(prompt.error());
}

std::vector<std::string> jinja_seeds() {
  std::vector<std::string> seeds;
  for (const char* name : {"chat-templates.json", "jinja.json"}) {
    const auto recorded = nlohmann::json::parse(
        tools_test::read_file(std::string(NIBBLE_SOURCE_DIR "/tests/golden/") + name));
    for (const auto& item : recorded) {
      seeds.push_back(item.at("template").get<std::string>() + '\0' + "user" + '\0' + "Hi" + '\0' +
                      "assistant" + '\0' + "Yes" + '\0' + "user" + '\0' + "Why?");
    }
  }
  return seeds;
}

}  // namespace nibble::fuzz
