// POST /v1/chat/completions, whole and as a stream of server-sent events.
#include <utility>

#include "tools/nibble/serve/api.h"
#include "tools/nibble/serve/logprobs.h"
#include "tools/nibble/serve/request.h"

namespace nibble::cli {
namespace {

class ChatForm final : public AnswerForm {
 public:
  ChatForm(std::shared_ptr<Exchange> exchange, const ModelService& service,
           const GenerationRequest& request, bool streams, bool usage)
      : exchange_(std::move(exchange)),
        events_(exchange_),
        model_(request.model),
        model_name_(service.name()),
        streams_(streams),
        sends_usage_(usage),
        logprobs_(request.options.logprobs >= 0),
        begun_(request.copies),
        choices_(request.copies) {
    counts_.prompt = static_cast<int64_t>(request.prompts[0].size());
  }

  bool streams() const override { return streams_; }

  void delta(size_t answer, const Delta& delta) override {
    begin(answer);
    Json choice = piece(answer, {{"content", delta.text}});
    if (logprobs_) choice["logprobs"] = chat_logprobs(*model_, delta.steps);
    chunk(std::move(choice));
  }

  void done(size_t answer, Completion completion) override {
    counts_.add(completion);
    const char* reason = finish_reason(completion.reason);
    if (streams_) {
      begin(answer);
      Json choice = piece(answer, Json::object());
      choice["finish_reason"] = reason;
      chunk(std::move(choice));
      return;
    }
    Json choice = {
        {"index", answer},
        {"message", {{"role", "assistant"}, {"content", completion.text}, {"refusal", nullptr}}},
        {"logprobs", nullptr},
        {"finish_reason", reason}};
    if (logprobs_) choice["logprobs"] = chat_logprobs(*model_, completion.steps);
    choices_[answer] = std::move(choice);
  }

  void all_done() override {
    if (!streams_) {
      Json body = envelope("chat.completion");
      body["choices"] = choices_;
      body["usage"] = openai_usage(counts_);
      return send_json(exchange_, body);
    }
    if (sends_usage_) {
      Json last = envelope("chat.completion.chunk");
      last["choices"] = Json::array();
      last["usage"] = openai_usage(counts_);
      events_.event(last);
    }
    events_.end("data: [DONE]\n\n");
  }

  void failed(const ApiError& error) override {
    if (!events_.begun()) return exchange_->send(error_response(error, "/v1/"));
    events_.event(openai_error(error));
    events_.end("");
  }

 private:
  Json envelope(const char* object) const {
    return {{"id", id_},
            {"object", object},
            {"created", created_},
            {"model", model_name_},
            {"system_fingerprint", "nibble-" + std::string(version())}};
  }

  static Json piece(size_t answer, Json delta) {
    return {{"index", answer},
            {"delta", std::move(delta)},
            {"logprobs", nullptr},
            {"finish_reason", nullptr}};
  }

  void begin(size_t answer) {
    if (begun_[answer]) return;
    begun_[answer] = true;
    chunk(piece(answer, {{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}));
  }

  void chunk(Json choice) {
    Json body = envelope("chat.completion.chunk");
    body["choices"] = Json::array({std::move(choice)});
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
  const std::string id_ = new_id("chatcmpl-");
  const int64_t created_ = unix_time();
  std::vector<bool> begun_;
  std::vector<Json> choices_;
  TokenCounts counts_;
};

}  // namespace

void chat_completions(const Api& api, const std::shared_ptr<Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  GenerationRequest request = read_generation(api, fields);
  if (const auto longest = fields.whole("max_completion_tokens", 0, kAnswerTokensMax)) {
    request.options.max_tokens = *longest;
  }
  const bool wanted = fields.flag("logprobs").value_or(false);
  const auto top = fields.whole("top_logprobs", 0, 20);
  if (top && !wanted) refuse("top_logprobs needs logprobs: true", "top_logprobs");
  if (wanted) request.options.logprobs = static_cast<int>(top.value_or(0));
  auto prompt = encode_chat(*request.model, read_messages(fields, "messages"));
  if (!prompt) throw ApiError{400, prompt.error().message, "messages"};
  request.prompts = {std::move(*prompt)};
  const auto [streams, usage] = read_stream(fields);
  auto form = std::make_shared<ChatForm>(exchange, *request.service, request, streams, usage);
  start_generation(exchange, std::move(request), std::move(form));
}

}  // namespace nibble::cli
