// Chat templates: the GGUF's own Jinja template, rendered by a sandboxed subset.
//
// No file, no import, no attribute of the host; steps, nesting and output are limited, so a hostile
// template is an error within milliseconds. A template beyond the subset falls back to the family's
// known form, with a note. Immutable and thread-safe. Read next: jinja.h.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/prompt.h"
#include "runtime/text/jinja.h"

namespace nibble {

class ChatTemplate {
 public:
  // `source` is tokenizer.chat_template (may be empty), `architecture` general.architecture;
  // bos_text and eos_text stand for {{ bos_token }} and {{ eos_token }}. Never fails: what cannot
  // be parsed, or loses messages in a trial, becomes the family's form, or plain text for a model
  // that is not a chat model; notes() say so. A template without a system role gets the system text
  // before the first user message.
  static ChatTemplate create(std::string_view source, std::string_view architecture,
                             std::string_view bos_text, std::string_view eos_text);

  // The prompt for these messages. Errors: 64 with the template's own complaint (raise_exception:
  // roles must alternate ...) or the limit that was exceeded. `now` is the date for templates that
  // tell it; null: the local time. `tools`: JSON for the variable of this name, empty: None.
  Result<std::string> render(const std::vector<ChatMessage>& messages, bool add_generation_prompt,
                             const std::tm* now = nullptr, std::string_view tools = {}) const;

  const std::vector<std::string>& notes() const { return notes_; }
  const std::string& source() const { return source_; }
  bool is_fallback() const { return fallback_; }

 private:
  // Takes the template if a conversation comes through it whole.
  Result<void> adopt(std::string_view source);
  Result<std::string> render_as_is(const std::vector<ChatMessage>& messages,
                                   bool add_generation_prompt, const std::tm& now,
                                   std::string_view tools = {}) const;

  std::string source_;
  std::string bos_text_;
  std::string eos_text_;
  jinja::Template template_;
  bool fold_system_ = false;  // the system text goes before the first user message
  bool fallback_ = false;
  std::vector<std::string> notes_;
};

}  // namespace nibble
