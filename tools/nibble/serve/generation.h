// From a request's prompts to its answers, whatever API it came by: submits them, and gives what
// comes of it to the form of that API. Read next: openai_chat.cpp, the fullest form.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nibble/batch.h"
#include "tools/nibble/serve/api_error.h"
#include "tools/nibble/serve/exchange.h"
#include "tools/nibble/serve/service.h"

namespace nibble::cli {

// How an API shows answers. Called on the service's thread only; each answer gets `done` once.
class AnswerForm {
 public:
  virtual ~AnswerForm() = default;
  virtual bool streams() const = 0;
  // A piece of an answer that streams.
  virtual void delta(size_t answer, const Delta& delta) = 0;
  virtual void done(size_t answer, Completion completion) = 0;
  // After the last of them.
  virtual void all_done() = 0;
  // Instead: nothing else is called afterwards.
  virtual void failed(const ApiError& error) = 0;
};

struct GenerationRequest {
  ModelService* service = nullptr;
  std::shared_ptr<Model> model;
  std::vector<std::vector<int32_t>> prompts;  // a form numbers answers [prompt][copy]
  size_t copies = 1;                          // of each, with seeds that follow one another
  GenerateOptions options;
  std::shared_ptr<const Grammar> grammar;  // null: anything
};

// Throws ApiError for what cannot be answered or queued, and Elsewhere if the model has been
// unloaded since it was asked for.
void start_generation(std::shared_ptr<Exchange> exchange, GenerationRequest request,
                      std::shared_ptr<AnswerForm> form);

// "stop", "length" ... in OpenAI's words.
const char* finish_reason(StopReason reason);

// Events of text/event-stream over an exchange, which begins with the first.
class EventStream {
 public:
  explicit EventStream(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  void event(const Json& json, const char* name = nullptr);
  void end(std::string_view last);  // "data: [DONE]\n\n"
  bool begun() const { return exchange_->begun(); }

 private:
  std::shared_ptr<Exchange> exchange_;
};

// "chatcmpl-" and 24 random letters and digits.
std::string new_id(const std::string& prefix);
int64_t unix_time();

struct TokenCounts {
  int64_t prompt = 0;
  int64_t cached = 0;
  int64_t answer = 0;
  void add(const Completion& done) {
    cached += done.stats.cached_tokens;
    answer += static_cast<int64_t>(done.tokens.size());
  }
};
Json openai_usage(const TokenCounts& counts);

}  // namespace nibble::cli
