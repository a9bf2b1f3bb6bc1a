// Ollama's routes, for the programs that speak them: /api/version, tags, ps, show, chat, generate
// and embed. Streams are lines of JSON.
#include <sys/stat.h>

#include <cstdio>
#include <ctime>
#include <utility>

#include "runtime/model_impl.h"
#include "tools/nibble/serve/embedding.h"
#include "tools/nibble/serve/json_schema.h"
#include "tools/nibble/serve/request.h"

namespace nibble::cli {
namespace {

using ExchangePtr = std::shared_ptr<Exchange>;

std::string iso_time(std::time_t seconds) {
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

int64_t nanoseconds(double seconds) {
  return static_cast<int64_t>(seconds * 1e9);
}

// An answer in the form of `chat` (a message) or `generate` (a response).
class OllamaForm final : public AnswerForm {
 public:
  OllamaForm(ExchangePtr exchange, const GenerationRequest& request, bool streams, bool is_chat)
      : exchange_(std::move(exchange)),
        name_(request.service->name()),
        streams_(streams),
        is_chat_(is_chat) {}

  bool streams() const override { return streams_; }

  void delta(size_t, const Delta& delta) override {
    if (delta.text.empty()) return;
    if (!exchange_->begun()) exchange_->begin(200, "application/x-ndjson");
    exchange_->write(dump(piece(std::string(delta.text), false)) + "\n");
  }

  void done(size_t, Completion completion) override {
    Json last = piece(streams_ ? "" : completion.text, true);
    const Stats& stats = completion.stats;
    last["done_reason"] = finish_reason(completion.reason);
    last["total_duration"] = nanoseconds(stats.prompt_s + stats.decode_s);
    last["load_duration"] = 0;
    last["prompt_eval_count"] = stats.prompt_tokens + stats.cached_tokens;
    last["prompt_eval_duration"] = nanoseconds(stats.prompt_s);
    last["eval_count"] = completion.tokens.size();
    last["eval_duration"] = nanoseconds(stats.decode_s);
    if (!streams_) return send_json(exchange_, last);
    if (!exchange_->begun()) exchange_->begin(200, "application/x-ndjson");
    exchange_->write(dump(last) + "\n");
    exchange_->finish();
  }

  void all_done() override {}

  void failed(const ApiError& error) override {
    if (!exchange_->begun()) return exchange_->send(error_response(error, "/api/"));
    exchange_->write(dump(ollama_error(error)) + "\n");
    exchange_->finish();
  }

 private:
  Json piece(std::string text, bool is_done) const {
    Json out = {{"model", name_}, {"created_at", iso_time(unix_time())}};
    if (is_chat_) {
      out["message"] = {{"role", "assistant"}, {"content", std::move(text)}};
    } else {
      out["response"] = std::move(text);
    }
    out["done"] = is_done;
    return out;
  }

  const ExchangePtr exchange_;
  const std::string name_;
  const bool streams_;
  const bool is_chat_;
};

Json details(const Model& model) {
  return {{"parent_model", ""},
          {"format", "gguf"},
          {"family", model.architecture()},
          {"families", Json::array({model.architecture()})},
          {"parameter_size", ""},
          {"quantization_level", ""}};
}

Json entry(ModelService& service) {
  const auto model = require_model(service);
  struct stat info = {};
  stat(service.path().c_str(), &info);
  return {{"name", service.name()},
          {"model", service.name()},
          {"modified_at", iso_time(info.st_mtime)},
          {"size", info.st_size},
          {"digest", ""},
          {"details", details(*model)}};
}

// model and options. What sets sizes of the cache is the server's to choose, and not read.
GenerationRequest read_ollama(const Api& api, const Fields& fields) {
  static const Json kNone = Json::object();
  GenerationRequest request;
  const auto name = fields.text("model");
  if (!name) refuse("model is missing", "model");
  request.service = &api.find_model(name);
  request.model = require_model(*request.service);
  const Json* given = fields.object("options");
  const Fields options(given != nullptr ? *given : kNone, "options.");
  const int64_t context = request.service->context();
  request.options.sampling = read_sampling(options, *request.model, context);
  if (const auto last = options.whole("repeat_last_n", -1, 1 << 20)) {
    request.options.sampling.penalty_last_n = static_cast<int>(*last < 0 ? context : *last);
  }
  const auto longest = options.whole("num_predict", -2, kAnswerTokensMax);
  request.options.max_tokens = std::max<int64_t>(longest.value_or(-1), -1);
  request.options.stop = options.texts("stop", 16);
  const Json* format = fields.find("format");
  if (format != nullptr && *format != "") {
    if (!format->is_object() && *format != "json") {
      fields.wrong("format", "\"json\" or a JSON Schema");
    }
    request.grammar = compile_grammar(
        format->is_object() ? schema_grammar(*format, "format") : json_grammar(), "format");
  }
  return request;
}

// Asked for nothing, Ollama loads the model and says so.
void say_loaded(const ExchangePtr& exchange, const GenerationRequest& request, bool is_chat) {
  Json out = {{"model", request.service->name()}, {"created_at", iso_time(unix_time())}};
  if (is_chat) {
    out["message"] = {{"role", "assistant"}, {"content", ""}};
  } else {
    out["response"] = "";
  }
  out["done_reason"] = "load";
  out["done"] = true;
  send_json(exchange, out);
}

void answer(const ExchangePtr& exchange, const Fields& fields, GenerationRequest request,
            bool is_chat) {
  const bool streams = fields.flag("stream").value_or(true);
  auto form = std::make_shared<OllamaForm>(exchange, request, streams, is_chat);
  start_generation(exchange, std::move(request), std::move(form));
}

}  // namespace

void ollama_version(const Api&, const ExchangePtr& exchange) {
  send_json(exchange, {{"version", version()}});
}

void ollama_tags(const Api& api, const ExchangePtr& exchange) {
  Json models = Json::array();
  for (const auto& service : api.models()) models.push_back(entry(*service));
  send_json(exchange, {{"models", models}});
}

void ollama_ps(const Api& api, const ExchangePtr& exchange) {
  Json models = Json::array();
  for (const auto& service : api.models()) {
    if (!service->loaded()) continue;
    Json one = entry(*service);
    one["size"] = service->memory_bytes();
    one["size_vram"] = 0;
    one["context_length"] = service->context();
    one["expires_at"] = iso_time(unix_time() + 365 * 86400);
    models.push_back(one);
  }
  send_json(exchange, {{"models", models}});
}

void ollama_show(const Api& api, const ExchangePtr& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  const auto name = fields.text("model") ? fields.text("model") : fields.text("name");
  if (!name) refuse("model is missing", "model");
  const ModelService& service = api.find_model(name);
  const auto model = require_model(api.find_model(name));
  const std::string& family = model->architecture();
  send_json(exchange, {{"modelfile", ""},
                       {"parameters", ""},
                       {"template", model->is_chat_model() ? model->impl().chat->source() : ""},
                       {"details", details(*model)},
                       {"model_info",
                        {{"general.architecture", family},
                         {"general.name", model->name()},
                         {family + ".context_length", model->context_length()},
                         {"nibble.context", service.context()}}},
                       {"capabilities", Json::array({"completion"})}});
}

void ollama_chat(const Api& api, const ExchangePtr& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  refuse_unoffered(fields, {"tools"});
  GenerationRequest request = read_ollama(api, fields);
  const Json* messages = fields.find("messages");
  if (messages == nullptr || messages->empty()) return say_loaded(exchange, request, true);
  auto prompt = encode_chat(*request.model, read_messages(fields, "messages"));
  if (!prompt) throw ApiError{400, prompt.error().message};
  request.prompts = {std::move(*prompt)};
  answer(exchange, fields, std::move(request), true);
}

void ollama_generate(const Api& api, const ExchangePtr& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  refuse_unoffered(fields, {"suffix", "template", "images", "context"});
  GenerationRequest request = read_ollama(api, fields);
  const std::string text = fields.text("prompt").value_or("");
  if (text.empty()) return say_loaded(exchange, request, false);
  if (fields.flag("raw").value_or(false)) {
    request.prompts = {request.model->tokenize(text, true, true)};
  } else {
    std::vector<ChatMessage> messages;
    if (const auto system = fields.text("system"); system && !system->empty()) {
      messages.push_back({"system", *system});
    }
    messages.push_back({"user", text});
    auto prompt = encode_chat(*request.model, messages);
    if (!prompt) throw ApiError{400, prompt.error().message};
    request.prompts = {std::move(*prompt)};
  }
  answer(exchange, fields, std::move(request), false);
}

void ollama_embed(const Api& api, const ExchangePtr& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  const auto name = fields.text("model");
  if (!name) refuse("model is missing", "model");
  ModelService& service = api.find_model(name);
  const Embeddings embeddings = embed_texts(service, fields, "input");
  send_json(exchange, {{"model", service.name()},
                       {"embeddings", embeddings.vectors},
                       {"total_duration", nanoseconds(embeddings.seconds)},
                       {"load_duration", 0},
                       {"prompt_eval_count", embeddings.tokens}});
}

}  // namespace nibble::cli
