#include "runtime/answer.h"

#include <algorithm>
#include <utility>

namespace nibble {
namespace {

size_t deciding_logits(const GenerateOptions& options) {
  constexpr int kMost = 512;  // beyond, a screen saves little
  const SamplingOptions& s = options.sampling;
  const bool raises = s.repeat_penalty < 1 || s.presence_penalty < 0 || s.frequency_penalty < 0;
  if (options.logprobs >= 0 || raises) return 0;
  int top = s.temperature == 0 ? 1 : s.top_k;
  if (top == 0) return 0;
  // Penalties push down at most so many, and others move up.
  if (s.repeat_penalty != 1 || s.presence_penalty != 0 || s.frequency_penalty != 0) {
    if (s.penalty_last_n > kMost) return 0;
    top += s.penalty_last_n;
  }
  return top <= kMost ? static_cast<size_t>(top) : 0;
}

// The same where a constraint chooses among the best. Where it allows none of them, the sampler
// asks for the exact logits of those that it allows.
size_t held_logits(const GenerateOptions& options) {
  const size_t top = deciding_logits(options);
  return top == 0 ? 0 : std::max(top, Sampler::kLeastTried);
}

}  // namespace

void TextSink::finish() {
  if (!stopped_ && take(utf8_.finish())) emit(held_.size());
}

bool TextSink::take(std::string_view fresh) {
  held_ += fresh;
  size_t stop = std::string::npos;
  size_t keep = 0;
  for (const std::string& s : stops_) {
    if (s.empty()) continue;
    stop = std::min(stop, held_.find(s));
    // The longest end of the held text that begins this stop string.
    for (size_t n = std::min(s.size() - 1, held_.size()); n > keep; --n) {
      if (held_.ends_with(std::string_view(s).substr(0, n))) keep = n;
    }
  }
  if (stop != std::string::npos) {
    stopped_ = true;
    emit(stop);
    return false;
  }
  return emit(held_.size() - keep);
}

bool TextSink::emit(size_t count) {
  if (count == 0) return true;
  const std::string_view ready = std::string_view(held_).substr(0, count);
  text_ += ready;
  const bool go_on = !on_text_ || on_text_(ready);
  held_.erase(0, count);
  return go_on;
}

Answer::Answer(const GenerateOptions& options, const Tokenizer& tokenizer, size_t vocabulary,
               TextCallback on_text, Constraint* constraint)
    : options_(options),
      tokenizer_(tokenizer),
      sampler_(options.sampling, vocabulary),
      constraint_(constraint),
      top_(constraint != nullptr ? held_logits(options) : deciding_logits(options)),
      sink_(options.stop, std::move(on_text)) {
  end_if_full();
}

int64_t Answer::left() const {
  if (options_.max_tokens < 0) return INT64_MAX;
  return options_.max_tokens - static_cast<int64_t>(done_.tokens.size());
}

void Answer::end(StopReason reason) {
  done_.reason = reason;
  ended_ = true;
}

void Answer::end_if_full() {
  if (left() == 0) end(StopReason::kMaxTokens);
}

int32_t Answer::take(std::span<const float> logits, const ExactLogits& exact) {
  const int32_t id = constraint_ != nullptr ? sampler_.sample(logits, *constraint_, exact)
                                            : sampler_.sample(logits);
  if (id < 0) return id;
  sampler_.accept(id);
  if (constraint_ != nullptr) constraint_->accept(id);
  if (tokenizer_.is_end(id) && !options_.ignore_end) {
    end(StopReason::kEndOfTurn);
    return id;
  }
  done_.tokens.push_back(id);
  if (options_.logprobs >= 0) {
    Step record;
    record.id = id;
    record.logprob = static_cast<float>(log_probability(logits, id));
    top_log_probabilities(logits, options_.logprobs, &record.top);
    done_.steps.push_back(std::move(record));
  }
  if (!sink_.push(tokenizer_.piece(id))) {
    end(sink_.met_stop() ? StopReason::kStopString : StopReason::kCancelled);
    return id;
  }
  end_if_full();
  if (constraint_ != nullptr && constraint_->complete()) end(StopReason::kEndOfTurn);
  return id;
}

Completion& Answer::finish() {
  sink_.finish();
  if (sink_.met_stop()) done_.reason = StopReason::kStopString;
  done_.text = std::move(sink_.text());
  return done_;
}

}  // namespace nibble
