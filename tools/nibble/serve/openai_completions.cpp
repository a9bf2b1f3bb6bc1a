// POST /v1/completions: texts, or token ids, that are continued.
#include <utility>

#include "tools/nibble/serve/api.h"
#include "tools/nibble/serve/logprobs.h"
#include "tools/nibble/serve/request.h"

namespace nibble::cli {
namespace {

constexpr size_t kPromptsMax = 16;
constexpr size_t kTokensMax = 1 << 20;

class CompletionForm final : public AnswerForm {
 public:
  CompletionForm(std::shared_ptr<Exchange> exchange, const GenerationRequest& request,
                 std::vector<std::string> echoes, bool streams, bool usage)
      : exchange_(std::move(exchange)),
        events_(exchange_),
        model_(request.model),
        model_name_(request.service->name()),
        streams_(streams),
        sends_usage_(usage),
        logprobs_(request.options.logprobs >= 0),
        copies_(request.copies),
        echoes_(std::move(echoes)),
        begun_(request.prompts.size() * request.copies),
        offsets_(begun_.size()),
        choices_(begun_.size()) {
    for (const auto& prompt : request.prompts) {
      counts_.prompt += static_cast<int64_t>(prompt.size());
    }
  }

  bool streams() const override { return streams_; }

  void delta(size_t answer, const Delta& delta) override {
    chunk(answer, echo(answer) + std::string(delta.text), delta.steps, nullptr);
  }

  void done(size_t answer, Completion completion) override {
    counts_.add(completion);
    const char* reason = finish_reason(completion.reason);
    if (streams_) return chunk(answer, echo(answer), {}, reason);
    choices_[answer] = choice(answer, echo(answer) + completion.text, completion.steps, reason);
  }

  void all_done() override {
    Json body = envelope();
    body["choices"] = streams_ ? Json::array() : Json(choices_);
    body["usage"] = openai_usage(counts_);
    if (!streams_) return send_json(exchange_, body);
    if (sends_usage_) events_.event(body);
    events_.end("data: [DONE]\n\n");
  }

  void failed(const ApiError& error) override {
    if (!events_.begun()) return exchange_->send(error_response(error, "/v1/"));
    events_.event(openai_error(error));
    events_.end("");
  }

 private:
  Json envelope() const {
    return {{"id", id_},
            {"object", "text_completion"},
            {"created", created_},
            {"model", model_name_},
            {"system_fingerprint", "nibble-" + std::string(version())}};
  }

  // The prompt, once before its answer, where that was asked for.
  std::string echo(size_t answer) {
    if (begun_[answer] || echoes_.empty()) return {};
    begun_[answer] = true;
    return echoes_[answer / copies_];
  }

  Json choice(size_t answer, std::string text, std::span<const Step> steps, const char* reason) {
    Json out = {{"index", answer},
                {"text", std::move(text)},
                {"logprobs", nullptr},
                {"finish_reason", nullptr}};
    if (logprobs_) out["logprobs"] = completion_logprobs(*model_, steps, &offsets_[answer]);
    if (reason != nullptr) out["finish_reason"] = reason;
    return out;
  }

  void chunk(size_t answer, std::string text, std::span<const Step> steps, const char* reason) {
    Json body = envelope();
    body["choices"] = Json::array({choice(answer, std::move(text), steps, reason)});
    if (sends_usage_) body["usage"] = nullptr;
    events_.event(body);
  }

  const std::shared_ptr<Exchange> exchange_;
  EventStream events_;
  const std::shared_ptr<Model> model_;
  const std::string model_name_;
  const bool streams_;
  const bool sends_usage_;
  const bool logprobs_;
  const size_t copies_;
  const std::vector<std::string> echoes_;
  const std::string id_ = new_id("cmpl-");
  const int64_t created_ = unix_time();
  std::vector<bool> begun_;
  std::vector<size_t> offsets_;
  std::vector<Json> choices_;
  TokenCounts counts_;
};

}  // namespace

void completions(const Api& api, const std::shared_ptr<Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  refuse_unoffered(fields, {"tools"});
  GenerationRequest request = read_generation(api, *exchange, fields);
  if (!fields.find("max_tokens")) request.options.max_tokens = 16;  // as in OpenAI's definition
  if (const auto logprobs = fields.whole("logprobs", 0, 20)) {
    request.options.logprobs = static_cast<int>(*logprobs);
  }
  const Json* prompt = fields.find("prompt");
  if (prompt == nullptr) refuse("prompt is missing", "prompt");
  const bool is_tokens = prompt->is_array() && !prompt->empty() && !(*prompt)[0].is_string();
  std::vector<std::string> texts;
  if (is_tokens) {
    const bool nested = (*prompt)[0].is_array();
    if (nested && prompt->size() > kPromptsMax) {
      fields.wrong("prompt", "at most " + std::to_string(kPromptsMax) + " lists of tokens");
    }
    for (const Json& one : nested ? *prompt : Json::array({*prompt})) {
      request.prompts.push_back(read_tokens(one, *request.model, kTokensMax, "prompt"));
      texts.push_back(request.model->detokenize(request.prompts.back()));
    }
  } else {
    texts = fields.texts("prompt", kPromptsMax);
    if (texts.empty()) refuse("prompt is an empty list", "prompt");
    for (const std::string& text : texts) {
      request.prompts.push_back(request.model->tokenize(text, true, true));
    }
  }
  if (!fields.flag("echo").value_or(false)) texts.clear();
  const auto [streams, usage] = read_stream(fields);
  auto form = std::make_shared<CompletionForm>(exchange, request, std::move(texts), streams, usage);
  start_generation(exchange, std::move(request), std::move(form));
}

}  // namespace nibble::cli
