// POST /v1/responses: text in, text out, whole and as events. Nothing is stored.
#include <utility>

#include "tools/nibble/serve/json_schema.h"
#include "tools/nibble/serve/request.h"

namespace nibble::cli {
namespace {

class ResponsesForm final : public AnswerForm {
 public:
  ResponsesForm(std::shared_ptr<Exchange> exchange, const GenerationRequest& request,
                Json instructions, bool streams)
      : exchange_(std::move(exchange)),
        events_(exchange_),
        model_name_(request.service->name()),
        instructions_(std::move(instructions)),
        sampling_(request.options.sampling),
        most_(request.options.max_tokens),
        streams_(streams) {
    counts_.prompt = static_cast<int64_t>(request.prompts[0].size());
  }

  bool streams() const override { return streams_; }

  void delta(size_t, const Delta& delta) override {
    begin();
    event("response.output_text.delta",
          in_part({{"delta", delta.text}, {"logprobs", Json::array()}}));
  }

  void done(size_t, Completion completion) override {
    counts_.add(completion);
    const bool cut = finish_reason(completion.reason) == std::string_view("length");
    const char* status = cut ? "incomplete" : "completed";
    const Json part = text_part(completion.text);
    const Json item = message(status, Json::array({part}));
    Json whole = response(status, Json::array({item}));
    if (cut) whole["incomplete_details"] = {{"reason", "max_output_tokens"}};
    whole["usage"] = {{"input_tokens", counts_.prompt},
                      {"input_tokens_details", {{"cached_tokens", counts_.cached}}},
                      {"output_tokens", counts_.answer},
                      {"output_tokens_details", {{"reasoning_tokens", 0}}},
                      {"total_tokens", counts_.prompt + counts_.answer}};
    if (!streams_) return send_json(exchange_, whole);
    begin();
    event("response.output_text.done",
          in_part({{"text", completion.text}, {"logprobs", Json::array()}}));
    event("response.content_part.done", in_part({{"part", part}}));
    event("response.output_item.done", {{"output_index", 0}, {"item", item}});
    event(cut ? "response.incomplete" : "response.completed", {{"response", whole}});
    events_.end("");
  }

  void all_done() override {}

  void failed(const ApiError& error) override {
    if (!events_.begun()) return exchange_->send(error_response(error, "/v1/"));
    Json whole = response("failed", Json::array());
    whole["error"] = {{"code", "server_error"}, {"message", error.message}};
    event("response.failed", {{"response", whole}});
    events_.end("");
  }

 private:
  Json response(const char* status, Json output) const {
    return {{"id", id_},
            {"object", "response"},
            {"created_at", created_},
            {"status", status},
            {"error", nullptr},
            {"incomplete_details", nullptr},
            {"instructions", instructions_},
            {"max_output_tokens", most_ < 0 ? Json() : Json(most_)},
            {"model", model_name_},
            {"output", std::move(output)},
            {"parallel_tool_calls", false},
            {"previous_response_id", nullptr},
            {"store", false},
            {"temperature", sampling_.temperature},
            {"text", {{"format", {{"type", "text"}}}}},
            {"tool_choice", "none"},
            {"tools", Json::array()},
            {"top_p", sampling_.top_p},
            {"metadata", Json::object()}};
  }

  static Json text_part(const std::string& text) {
    return {{"type", "output_text"},
            {"text", text},
            {"annotations", Json::array()},
            {"logprobs", Json::array()}};
  }

  Json message(const char* status, Json content) const {
    return {{"type", "message"},
            {"id", item_id_},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }

  Json in_part(const Json& more) const {
    Json out = {{"item_id", item_id_}, {"output_index", 0}, {"content_index", 0}};
    out.update(more);
    return out;
  }

  void event(const char* type, const Json& fields) {
    Json out = {{"type", type}, {"sequence_number", number_++}};
    out.update(fields);
    events_.event(out, type);
  }

  void begin() {
    if (number_ > 0) return;
    event("response.created", {{"response", response("in_progress", Json::array())}});
    event("response.in_progress", {{"response", response("in_progress", Json::array())}});
    event("response.output_item.added",
          {{"output_index", 0}, {"item", message("in_progress", Json::array())}});
    event("response.content_part.added", in_part({{"part", text_part("")}}));
  }

  const std::shared_ptr<Exchange> exchange_;
  EventStream events_;
  const std::string model_name_;
  const Json instructions_;
  const SamplingOptions sampling_;
  const int64_t most_;
  const bool streams_;
  const std::string id_ = new_id("resp_");
  const std::string item_id_ = new_id("msg_");
  const int64_t created_ = unix_time();
  int number_ = 0;
  TokenCounts counts_;
};

}  // namespace

void responses(const Api& api, const std::shared_ptr<Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  refuse_unoffered(fields, {"previous_response_id", "conversation", "background", "tools"});
  GenerationRequest request = read_generation(api, fields);
  if (request.copies != 1) fields.wrong("n", "1");
  request.options.max_tokens =
      fields.whole("max_output_tokens", 1, kAnswerTokensMax).value_or(request.options.max_tokens);
  if (const Json* text = fields.object("text")) {
    if (const Json* format = Fields(*text, "text.").object("format")) {
      const Json wrapped = {{"response_format", *format}};
      request.grammar = read_response_format(Fields(wrapped));
    }
  }
  std::vector<ChatMessage> messages;
  const Json* input = fields.find("input");
  if (input != nullptr && input->is_array()) {
    messages = read_messages(fields, "input");
  } else if (const auto text = fields.text("input")) {
    messages.push_back({"user", *text});
  } else {
    refuse("input is missing", "input");
  }
  Json instructions;
  if (const auto text = fields.text("instructions")) {
    instructions = *text;
    messages.insert(messages.begin(), {"system", *text});
  }
  auto prompt = encode_chat(*request.model, messages);
  if (!prompt) throw ApiError{400, prompt.error().message, "input"};
  request.prompts = {std::move(*prompt)};
  const bool streams = fields.flag("stream").value_or(false);
  auto form = std::make_shared<ResponsesForm>(exchange, request, std::move(instructions), streams);
  start_generation(exchange, std::move(request), std::move(form));
}

}  // namespace nibble::cli
