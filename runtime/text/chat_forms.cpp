#include "runtime/text/chat_forms.h"

namespace nibble {
namespace {

constexpr ChatForm kGemma = {
    "Gemma",
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% set role = 'model' if message.role == 'assistant' else message.role %}"
    "{{ '<start_of_turn>' + role + '\n' + message.content | trim + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"};

constexpr ChatForm kLlama3 = {"Llama 3",
                              "{{ bos_token }}"
                              "{% for message in messages %}"
                              "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}"
                              "{{ message.content | trim + '<|eot_id|>' }}"
                              "{% endfor %}"
                              "{% if add_generation_prompt %}"
                              "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
                              "{% endif %}"};

constexpr ChatForm kChatMl = {
    "ChatML",
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"};

constexpr ChatForm kPhi3 = {"Phi 3",
                            "{% for message in messages %}"
                            "{{ '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}"
                            "{% endfor %}"
                            "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"};

constexpr ChatForm kPhi4 = {
    "Phi 4",
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '<|im_sep|>' + message.content + '<|im_end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"};

constexpr ChatForm kMistral = {
    "Mistral",
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{{ '[INST] ' + message.content + ' [/INST]' if message.role == 'user'"
    " else ' ' + message.content + eos_token }}"
    "{% endfor %}"};

constexpr ChatForm kPlain = {
    "plain text", "{{ bos_token }}{{ messages | map(attribute='content') | join('\n\n') }}"};

}  // namespace

const ChatForm& chat_form(std::string_view architecture, std::string_view bos_text,
                          std::string_view eos_text) {
  const bool is_phi = architecture.starts_with("phi");
  if (eos_text == "<end_of_turn>") return kGemma;
  if (eos_text == "<|eot_id|>") return kLlama3;
  if (eos_text == "<|im_end|>") return is_phi ? kPhi4 : kChatMl;
  if (eos_text == "<|end|>") return kPhi3;
  if (architecture == "smollm3") return kChatMl;  // with Llama 3's vocabulary
  if (bos_text == "<|begin_of_text|>") return kLlama3;
  // Gemma 4 has other turns than the Gemmas before it.
  if (architecture.starts_with("gemma") && !architecture.starts_with("gemma4")) return kGemma;
  if (architecture.starts_with("qwen")) return kChatMl;
  if (architecture.starts_with("phi3")) return kPhi3;
  if (architecture.starts_with("mistral")) return kMistral;
  return kPlain;
}

}  // namespace nibble
