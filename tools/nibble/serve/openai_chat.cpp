// POST /v1/chat/completions, whole and as a stream of server-sent events.
#include <optional>
#include <utility>

#include "tools/nibble/serve/api.h"
#include "tools/nibble/serve/logprobs.h"
#include "tools/nibble/serve/request.h"
#include "tools/nibble/serve/tools.h"

namespace nibble::cli {
namespace {

class ChatForm final : public AnswerForm {
 public:
  ChatForm(std::shared_ptr<Exchange> exchange, const ModelService& service,
           const GenerationRequest& request, bool streams, bool usage,
           const std::optional<CallForm>& calls)
      : exchange_(std::move(exchange)),
        events_(exchange_),
        model_(request.model),
        model_name_(service.name()),
        streams_(streams),
        sends_usage_(usage),
        logprobs_(request.options.logprobs >= 0),
        begun_(request.copies),
        choices_(request.copies) {
    if (calls) readers_.assign(request.copies, CallReader(*calls));
    counts_.prompt = static_cast<int64_t>(request.prompts[0].size());
  }

  bool streams() const override { return streams_; }

  void delta(size_t answer, const Delta& delta) override {
    begin(answer);
    if (!readers_.empty()) return show(answer, readers_[answer].push(delta.text));
    Json choice = piece(answer, {{"content", delta.text}});
    if (logprobs_) choice["logprobs"] = chat_logprobs(*model_, delta.steps);
    chunk(std::move(choice));
  }

  void done(size_t answer, Completion completion) override {
    counts_.add(completion);
    std::string_view reason = finish_reason(completion.reason);
    if (streams_) {
      begin(answer);
      if (!readers_.empty()) {
        show(answer, readers_[answer].finish());
        if (readers_[answer].calls() > 0 && reason == kStop) reason = kCalls;
      }
      Json choice = piece(answer, Json::object());
      choice["finish_reason"] = reason;
      chunk(std::move(choice));
      return;
    }
    Json message = {{"role", "assistant"}, {"content", completion.text}, {"refusal", nullptr}};
    if (!readers_.empty()) {
      Json calls = take_calls(readers_[answer], completion.text, &message);
      if (!calls.empty()) {
        message["tool_calls"] = std::move(calls);
        if (reason == kStop) reason = kCalls;
      }
    }
    Json choice = {{"index", answer},
                   {"message", std::move(message)},
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
  static constexpr std::string_view kStop = "stop";
  static constexpr std::string_view kCalls = "tool_calls";

  static Json new_call(const std::string& name) {
    return {{"id", new_id("call_")},
            {"type", "function"},
            {"function", {{"name", name}, {"arguments", ""}}}};
  }

  // A whole answer's calls; what is text becomes the message's content, null if there is none.
  static Json take_calls(CallReader& reader, const std::string& text, Json* message) {
    std::vector<CallReader::Piece> pieces = reader.push(text);
    for (auto& piece : reader.finish()) pieces.push_back(std::move(piece));
    std::string content;
    Json calls = Json::array();
    for (const CallReader::Piece& piece : pieces) {
      if (piece.kind == CallReader::Piece::kContent) {
        content += piece.text;
      } else if (piece.kind == CallReader::Piece::kCall) {
        calls.push_back(new_call(piece.text));
      } else {
        calls.back()["function"]["arguments"].get_ref<std::string&>() += piece.text;
      }
    }
    (*message)["content"] = content.empty() && !calls.empty() ? Json() : Json(content);
    return calls;
  }

  // The same as a stream.
  void show(size_t answer, const std::vector<CallReader::Piece>& pieces) {
    for (const CallReader::Piece& part : pieces) {
      Json delta = {{"content", part.text}};
      if (part.kind != CallReader::Piece::kContent) {
        // Pieces come in order: those of a call are behind its beginning.
        size_t& index = call_index_[answer];
        Json call = {{"index", part.kind == CallReader::Piece::kCall ? index++ : index - 1}};
        call.update(part.kind == CallReader::Piece::kCall
                        ? new_call(part.text)
                        : Json{{"function", {{"arguments", part.text}}}});
        delta = {{"tool_calls", Json::array({std::move(call)})}};
      }
      chunk(piece(answer, std::move(delta)));
    }
  }

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
  std::vector<CallReader> readers_;  // of each answer; none: there are no tools
  std::vector<bool> begun_;
  std::vector<size_t> call_index_ = std::vector<size_t>(begun_.size());
  std::vector<Json> choices_;
  TokenCounts counts_;
};

}  // namespace

void chat_completions(const Api& api, const std::shared_ptr<Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  GenerationRequest request = read_generation(api, *exchange, fields);
  if (const auto longest = fields.whole("max_completion_tokens", 0, kAnswerTokensMax)) {
    request.options.max_tokens = *longest;
  }
  const bool wanted = fields.flag("logprobs").value_or(false);
  const auto top = fields.whole("top_logprobs", 0, 20);
  if (top && !wanted) refuse("top_logprobs needs logprobs: true", "top_logprobs");
  if (wanted) request.options.logprobs = static_cast<int>(top.value_or(0));
  const ToolUse use = read_tools(fields);
  request.prompts = {
      encode_messages(*request.model, read_messages(fields, "messages"), use, "messages")};
  std::optional<CallForm> calls;
  if (!use.tools.empty()) {
    if (request.grammar != nullptr) refuse("tools and response_format exclude each other", "tools");
    if (wanted) refuse("logprobs are not offered with tools; leave them out", "logprobs");
    calls = call_form(*request.model);
    request.grammar = call_grammar(use, *calls);
  }
  const auto [streams, usage] = read_stream(fields);
  auto form =
      std::make_shared<ChatForm>(exchange, *request.service, request, streams, usage, calls);
  start_generation(exchange, std::move(request), std::move(form));
}

}  // namespace nibble::cli
