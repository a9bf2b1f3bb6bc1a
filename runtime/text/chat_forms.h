// The chat forms of the known families, for models whose own template is missing or unusable.
// Read next: chat_template.h.
#pragma once

#include <string_view>

namespace nibble {

struct ChatForm {
  std::string_view name;
  std::string_view source;  // in the subset of jinja.h
};

// By the texts of the special tokens where they tell (the architecture "llama" has many forms),
// else by the architecture; plain text for the rest.
const ChatForm& chat_form(std::string_view architecture, std::string_view bos_text,
                          std::string_view eos_text);

}  // namespace nibble
