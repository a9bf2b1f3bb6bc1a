#include "tools/nibble/serve/response_form.h"

#include <utility>

#include "tools/nibble/serve/api.h"

namespace nibble::cli {
namespace {

Json text_part(const std::string& text) {
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", Json::array()},
          {"logprobs", Json::array()}};
}

}  // namespace

ResponseForm::ResponseForm(std::shared_ptr<Exchange> exchange, const GenerationRequest& request,
                           ResponseEcho echo, const std::optional<CallForm>& calls, bool streams)
    : exchange_(std::move(exchange)),
      events_(exchange_),
      model_name_(request.service->name()),
      echo_(std::move(echo)),
      sampling_(request.options.sampling),
      most_(request.options.max_tokens),
      streams_(streams) {
  if (calls) reader_.emplace(*calls);
  counts_.prompt = static_cast<int64_t>(request.prompts[0].size());
}

void ResponseForm::delta(size_t, const Delta& delta) {
  begin();
  take(delta.text);
}

void ResponseForm::done(size_t, Completion completion) {
  counts_.add(completion);
  begin();
  if (!streams_) take(completion.text);
  if (reader_) show(reader_->finish());
  if (item_.is_null() && output_.empty()) open_message();
  const bool cut = finish_reason(completion.reason) == std::string_view("length");
  const char* status = cut ? "incomplete" : "completed";
  close_item(status);
  Json whole = response(status, output_);
  if (cut) whole["incomplete_details"] = {{"reason", "max_output_tokens"}};
  whole["usage"] = {{"input_tokens", counts_.prompt},
                    {"input_tokens_details", {{"cached_tokens", counts_.cached}}},
                    {"output_tokens", counts_.answer},
                    {"output_tokens_details", {{"reasoning_tokens", 0}}},
                    {"total_tokens", counts_.prompt + counts_.answer}};
  if (!streams_) return send_json(exchange_, whole);
  event(cut ? "response.incomplete" : "response.completed", {{"response", whole}});
  events_.end("");
}

void ResponseForm::failed(const ApiError& error) {
  if (!events_.begun()) return exchange_->send(error_response(error, "/v1/"));
  Json whole = response("failed", output_);
  whole["error"] = {{"code", "server_error"}, {"message", error.message}};
  event("response.failed", {{"response", whole}});
  events_.end("");
}

Json ResponseForm::response(const char* status, Json output) const {
  return {{"id", id_},
          {"object", "response"},
          {"created_at", created_},
          {"status", status},
          {"error", nullptr},
          {"incomplete_details", nullptr},
          {"instructions", echo_.instructions},
          {"max_output_tokens", most_ < 0 ? Json() : Json(most_)},
          {"model", model_name_},
          {"output", std::move(output)},
          {"parallel_tool_calls", echo_.parallel},
          {"previous_response_id", nullptr},
          {"store", false},
          {"temperature", sampling_.temperature},
          {"text", {{"format", {{"type", "text"}}}}},
          {"tool_choice", echo_.tool_choice},
          {"tools", echo_.tools},
          {"top_p", sampling_.top_p},
          {"metadata", Json::object()}};
}

void ResponseForm::begin() {
  if (std::exchange(begun_, true)) return;
  event("response.created", {{"response", response("in_progress", Json::array())}});
  event("response.in_progress", {{"response", response("in_progress", Json::array())}});
}

void ResponseForm::take(std::string_view text) {
  if (reader_) return show(reader_->push(text));
  if (!text.empty()) show({{CallReader::Piece::kContent, std::string(text)}});
}

void ResponseForm::show(const std::vector<CallReader::Piece>& pieces) {
  for (const CallReader::Piece& piece : pieces) {
    if (piece.kind == CallReader::Piece::kCall) {
      close_item("completed");
      open_call(piece.text);
    } else if (piece.kind == CallReader::Piece::kArguments) {
      text_ += piece.text;
      event("response.function_call_arguments.delta", in_item({{"delta", piece.text}}));
    } else {
      if (item_.is_null() || item_["type"] != "message") {
        close_item("completed");
        open_message();
      }
      text_ += piece.text;
      event("response.output_text.delta",
            in_part({{"delta", piece.text}, {"logprobs", Json::array()}}));
    }
  }
}

void ResponseForm::open_message() {
  item_ = {{"type", "message"},
           {"id", new_id("msg_")},
           {"status", "in_progress"},
           {"role", "assistant"},
           {"content", Json::array()}};
  event("response.output_item.added", {{"output_index", output_.size()}, {"item", item_}});
  event("response.content_part.added", in_part({{"part", text_part("")}}));
}

void ResponseForm::open_call(const std::string& name) {
  item_ = {{"type", "function_call"},
           {"id", new_id("fc_")},
           {"call_id", new_id("call_")},
           {"name", name},
           {"arguments", ""},
           {"status", "in_progress"}};
  event("response.output_item.added", {{"output_index", output_.size()}, {"item", item_}});
}

void ResponseForm::close_item(const char* status) {
  if (item_.is_null()) return;
  if (item_["type"] == "message") {
    const Json part = text_part(text_);
    item_["content"] = Json::array({part});
    event("response.output_text.done", in_part({{"text", text_}, {"logprobs", Json::array()}}));
    event("response.content_part.done", in_part({{"part", part}}));
  } else {
    item_["arguments"] = text_;
    event("response.function_call_arguments.done",
          in_item({{"name", item_["name"]}, {"arguments", text_}}));
  }
  item_["status"] = status;
  event("response.output_item.done", {{"output_index", output_.size()}, {"item", item_}});
  output_.push_back(std::exchange(item_, Json()));
  text_.clear();
}

Json ResponseForm::in_item(Json more) const {
  Json out = {{"item_id", item_["id"]}, {"output_index", output_.size()}};
  out.update(more);
  return out;
}

Json ResponseForm::in_part(Json more) const {
  Json out = in_item({{"content_index", 0}});
  out.update(more);
  return out;
}

void ResponseForm::event(const char* type, const Json& fields) {
  if (!streams_) return;
  Json out = {{"type", type}, {"sequence_number", number_++}};
  out.update(fields);
  events_.event(out, type);
}

}  // namespace nibble::cli
