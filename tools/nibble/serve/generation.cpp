#include "tools/nibble/serve/generation.h"

#include <algorithm>
#include <ctime>
#include <random>
#include <utility>

namespace nibble::cli {
namespace {

// What the answers of one request share.
struct Progress {
  std::shared_ptr<Exchange> exchange;
  std::shared_ptr<AnswerForm> form;
  size_t left = 0;
  bool started = false;
  bool failed = false;

  // For the log.
  void note_start() {
    if (!std::exchange(started, true)) exchange->record().queue_s = exchange->age_s();
  }
  void note(const Completion& done) {
    AnswerRecord& record = exchange->record();
    const Stats& stats = done.stats;
    record.prompt_tokens += stats.prompt_tokens + stats.cached_tokens;
    record.cached_tokens += stats.cached_tokens;
    record.answer_tokens += static_cast<int64_t>(done.tokens.size());
    record.decode_tokens += stats.decode_tokens;
    record.decode_s = std::max(record.decode_s, stats.decode_s);
    if (record.first_token_s == 0 && stats.first_token_s > 0) {
      record.first_token_s = record.queue_s + stats.first_token_s;
    }
  }
};

}  // namespace

void start_generation(std::shared_ptr<Exchange> exchange, GenerationRequest request,
                      std::shared_ptr<AnswerForm> form) {
  auto progress = std::make_shared<Progress>();
  progress->exchange = std::move(exchange);
  progress->form = std::move(form);
  progress->left = request.prompts.size() * request.copies;
  progress->exchange->record().model = request.service->name();
  std::vector<Job> jobs;
  for (const std::vector<int32_t>& prompt : request.prompts) {
    for (size_t copy = 0; copy < request.copies; ++copy) {
      const size_t number = jobs.size();
      Job& job = jobs.emplace_back();
      job.client = progress->exchange->request().peer;
      job.prompt = prompt;
      job.options = request.options;
      job.grammar = request.grammar;
      job.options.sampling.seed += copy;
      job.gone = [progress] { return progress->exchange->gone() || progress->failed; };
      job.on_start = [progress] { progress->note_start(); };
      if (progress->form->streams()) {
        job.on_delta = [progress, number](const Delta& delta) {
          if (!progress->failed) progress->form->delta(number, delta);
          return !progress->exchange->gone();
        };
      }
      job.on_done = [progress, number](Result<Completion> done) {
        if (progress->failed) return;
        if (!done) {
          progress->failed = true;
          return progress->form->failed(to_api_error(done.error()));
        }
        progress->note(*done);
        progress->form->done(number, std::move(*done));
        if (--progress->left == 0) progress->form->all_done();
      };
    }
  }
  const auto submitted = request.service->submit(std::move(jobs));
  if (!submitted) throw to_api_error(submitted.error());
  if (!*submitted) throw Elsewhere{Desk::kLoading};
}

const char* finish_reason(StopReason reason) {
  const bool cut = reason == StopReason::kMaxTokens || reason == StopReason::kContextFull;
  return cut ? "length" : "stop";
}

void EventStream::event(const Json& json, const char* name) {
  if (!exchange_->begun()) exchange_->begin(200, "text/event-stream");
  std::string text;
  if (name != nullptr) text.append("event: ").append(name).append("\n");
  exchange_->write(text + "data: " + dump(json) + "\n\n");
}

void EventStream::end(std::string_view last) {
  if (!exchange_->begun()) exchange_->begin(200, "text/event-stream");
  exchange_->write(last);
  exchange_->finish();
}

std::string new_id(const std::string& prefix) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::string id = prefix;
  for (int i = 0; i < 24; ++i) id += kLetters[random() % kLetters.size()];
  return id;
}

int64_t unix_time() {
  return std::time(nullptr);
}

Json openai_usage(const TokenCounts& counts) {
  return {{"prompt_tokens", counts.prompt},
          {"completion_tokens", counts.answer},
          {"total_tokens", counts.prompt + counts.answer},
          {"prompt_tokens_details", {{"cached_tokens", std::min(counts.cached, counts.prompt)}}}};
}

}  // namespace nibble::cli
