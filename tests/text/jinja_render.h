// Renders for the tests of templates: fixed clock, the variables of a chat.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/text/chat_template.h"
#include "runtime/text/jinja.h"

namespace nibble::jinja {

// Friday, 26 July 2024, 09:05:07.
inline std::tm test_clock() {
  std::tm now = {};
  now.tm_year = 124;
  now.tm_mon = 6;
  now.tm_mday = 26;
  now.tm_hour = 9;
  now.tm_min = 5;
  now.tm_sec = 7;
  now.tm_wday = 5;
  now.tm_yday = 207;
  return now;
}

inline Result<std::string> render_test(std::string_view source,
                                       const std::vector<ChatMessage>& messages,
                                       bool add_generation_prompt, const Limits& limits = {}) {
  NIBBLE_TRY(const Template parsed, Template::parse(source, limits));
  Heap heap(limits);
  List list;
  for (const ChatMessage& message : messages) {
    Dict* dict = heap.dict();
    dict->items = {{std::string_view("role"), std::string_view(message.role)},
                   {std::string_view("content"), std::string_view(message.content)}};
    list.items.push_back(dict);
  }
  Dict globals;
  globals.items = {{std::string_view("messages"), &list},
                   {std::string_view("add_generation_prompt"), add_generation_prompt},
                   {std::string_view("bos_token"), std::string_view("<s>")},
                   {std::string_view("eos_token"), std::string_view("</s>")}};
  return parsed.render(heap, globals, test_clock());
}

}  // namespace nibble::jinja
