// Chat templates: the GGUF's own Jinja template, rendered by a sandboxed subset.
//
// No file, no import, no attribute of the host; steps, nesting and output are limited, so a hostile
// template is an error within milliseconds. A template beyond the subset falls back to the family's
// known form, with a note. Immutable and thread-safe. Read next: jinja.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"

namespace nibble {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

class ChatTemplate {
 public:
  // `source` is tokenizer.chat_template (may be empty), `architecture` general.architecture;
  // bos_text and eos_text stand for {{ bos_token }} and {{ eos_token }}. Never fails: what cannot
  // be parsed becomes the family's form, or plain text for a model that is not a chat model;
  // notes() say so.
  static ChatTemplate create(std::string_view source, std::string_view architecture,
                             std::string_view bos_text, std::string_view eos_text);

  // The prompt for these messages. Errors: 64 with the template's own complaint (raise_exception:
  // roles must alternate ...) or the limit that was exceeded.
  Result<std::string> render(const std::vector<ChatMessage>& messages,
                             bool add_generation_prompt) const;

  const std::vector<std::string>& notes() const { return notes_; }
  const std::string& source() const { return source_; }
  bool is_fallback() const { return fallback_; }

 private:
  std::string source_;
  std::string bos_text_;
  std::string eos_text_;
  bool fallback_ = false;
  std::vector<std::string> notes_;
};

}  // namespace nibble
