#include "tools/nibble/conversation.h"

#include <string_view>
#include <utility>

#include "tools/nibble/signals.h"

namespace nibble::cli {

Conversation::Conversation(LoadedModel loaded, std::unique_ptr<Session> session, bool raw,
                           SamplingChoice sampling, GenerateOptions options)
    : loaded_(std::move(loaded)),
      session_(std::move(session)),
      raw_(raw),
      sampling_(std::move(sampling)),
      options_(std::move(options)) {}

Result<Completion> Conversation::ask(const std::string& prompt, AnswerWriter* writer) {
  options_.sampling = sampling_.options(*loaded_.model);
  const TextCallback on_text = [writer](std::string_view text) {
    return signal_exit_code() == 0 && (writer == nullptr || writer->write(text));
  };
  const CancelOnSignal cancel(*session_);
  return raw_ ? session_->complete(prompt, options_, on_text)
              : session_->chat(prompt, options_, on_text);
}

RunFacts Conversation::facts() const {
  RunFacts facts;
  facts.load_s = loaded_.load_s;
  facts.context = session_->context();
  facts.kv_bytes = session_->kv_bytes();
  facts.placement = loaded_.model->placement();
  facts.seed = options_.sampling.seed;
  facts.bandwidth_gb_per_s = bandwidth_gb_per_s_;
  return facts;
}

void Conversation::measure_bandwidth() {
  if (!bandwidth_gb_per_s_) {
    bandwidth_gb_per_s_ = measure_bandwidth_gb_per_s(loaded_.model->placement().threads);
  }
}

}  // namespace nibble::cli
