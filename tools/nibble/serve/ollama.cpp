// Ollama's routes, for the programs that speak them: /api/version, tags, ps, show, chat, generate,
// embed and pull. Streams are lines of JSON.
#include <sys/stat.h>

#include <cstdio>
#include <ctime>
#include <utility>

#include "runtime/model_impl.h"
#include "tools/nibble/hub/store.h"
#include "tools/nibble/serve/embedding.h"
#include "tools/nibble/serve/json_schema.h"
#include "tools/nibble/serve/request.h"
#include "tools/nibble/serve/tools.h"

namespace nibble::cli {
namespace {

using ExchangePtr = std::shared_ptr<Exchange>;

constexpr size_t kContextMax = 1 << 20;  // tokens

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
  OllamaForm(ExchangePtr exchange, const GenerationRequest& request, bool streams, bool is_chat,
             const std::optional<CallForm>& calls)
      : exchange_(std::move(exchange)),
        name_(request.service->name()),
        model_(request.model),
        context_(request.prompts[0]),
        streams_(streams),
        is_chat_(is_chat) {
    if (calls) reader_.emplace(*calls);
  }

  bool streams() const override { return streams_; }

  void delta(size_t, const Delta& delta) override {
    const std::string text = reader_ ? take(reader_->push(delta.text)) : std::string(delta.text);
    if (text.empty()) return;
    if (!exchange_->begun()) exchange_->begin(200, "application/x-ndjson");
    exchange_->write(dump(piece(text, false)) + "\n");
  }

  void done(size_t, Completion completion) override {
    std::string text = streams_ ? "" : completion.text;
    if (reader_) {
      text = take(reader_->push(text));
      text += take(reader_->finish());
    }
    Json last = piece(std::move(text), true);
    if (!calls_.empty()) last["message"]["tool_calls"] = whole_calls();
    const Stats& stats = completion.stats;
    last["done_reason"] = finish_reason(completion.reason);
    last["total_duration"] = nanoseconds(stats.prompt_s + stats.decode_s);
    last["load_duration"] = 0;
    last["prompt_eval_count"] = stats.prompt_tokens + stats.cached_tokens;
    last["prompt_eval_duration"] = nanoseconds(stats.prompt_s);
    last["eval_count"] = completion.tokens.size();
    last["eval_duration"] = nanoseconds(stats.decode_s);
    if (!is_chat_) last["context"] = whole_context(completion);
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

  // The text among the pieces; calls are kept for the end.
  std::string take(const std::vector<CallReader::Piece>& pieces) {
    std::string text;
    for (const CallReader::Piece& piece : pieces) {
      if (piece.kind == CallReader::Piece::kContent) {
        text += piece.text;
      } else if (piece.kind == CallReader::Piece::kCall) {
        calls_.emplace_back(piece.text, "");
      } else {
        calls_.back().second += piece.text;
      }
    }
    return text;
  }

  // Those that were not cut off.
  Json whole_calls() const {
    Json out = Json::array();
    for (const auto& [name, text] : calls_) {
      Json arguments = Json::parse(text, nullptr, false);
      if (arguments.is_discarded()) continue;
      out.push_back({{"function", {{"name", name}, {"arguments", std::move(arguments)}}}});
    }
    return out;
  }

  // The prompt and the answer, ended as a turn is.
  std::vector<int32_t> whole_context(const Completion& completion) const {
    std::vector<int32_t> ids = context_;
    ids.insert(ids.end(), completion.tokens.begin(), completion.tokens.end());
    const auto& ends = model_->impl().tokenizer->end_tokens();
    if (model_->is_chat_model() && !ends.empty()) ids.push_back(ends.back());
    return ids;
  }

  const ExchangePtr exchange_;
  const std::string name_;
  const std::shared_ptr<Model> model_;
  const std::vector<int32_t> context_;  // what the next question may go on from
  const bool streams_;
  const bool is_chat_;
  std::optional<CallReader> reader_;                        // none: there are no tools
  std::vector<std::pair<std::string, std::string>> calls_;  // name and arguments
};

Json details(const std::string& family, const std::string& type) {
  return {
      {"parent_model", ""},   {"format", "gguf"},
      {"family", family},     {"families", family.empty() ? Json::array() : Json::array({family})},
      {"parameter_size", ""}, {"quantization_level", type}};
}

// Of a file, and of its model where that is loaded.
Json entry(const std::string& name, const std::string& path, const Model* model) {
  struct stat info = {};
  stat(path.c_str(), &info);
  return {{"name", name},
          {"model", name},
          {"modified_at", iso_time(info.st_mtime)},
          {"size", hub::model_bytes(path)},
          {"size_vram", 0},
          {"digest", hub::read_record(path).sha256},
          {"details", details(model == nullptr ? "" : model->architecture(), hub::type_of(path))},
          {"expires_at", iso_time(unix_time() + 365 * 86400)}};
}

Json entry(const ModelService& service) {
  return entry(service.name(), service.path(), service.loaded().get());
}

// model and options. What sets sizes of the cache is the server's to choose, and not read.
GenerationRequest read_ollama(const Api& api, const Exchange& exchange, const Fields& fields) {
  static const Json kNone = Json::object();
  GenerationRequest request;
  const auto name = fields.text("model");
  if (!name) refuse("model is missing", "model");
  request.service = &api.models().find(name);
  request.model = api.load(*request.service, exchange);
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
            bool is_chat, const std::optional<CallForm>& calls = std::nullopt) {
  const bool streams = fields.flag("stream").value_or(true);
  auto form = std::make_shared<OllamaForm>(exchange, request, streams, is_chat, calls);
  start_generation(exchange, std::move(request), std::move(form));
}

}  // namespace

void ollama_version(const Api&, const ExchangePtr& exchange) {
  send_json(exchange, {{"version", version()}});
}

void ollama_tags(const Api& api, const ExchangePtr& exchange) {
  Json models = Json::array();
  for (ModelService* service : api.models().services()) models.push_back(entry(*service));
  for (const hub::KnownModel& model : api.models().others()) {
    models.push_back(entry(model.name, model.path, nullptr));
  }
  send_json(exchange, {{"models", models}});
}

void ollama_ps(const Api& api, const ExchangePtr& exchange) {
  Json models = Json::array();
  for (ModelService* service : api.models().services()) {
    if (!service->loaded()) continue;
    Json one = entry(*service);
    one["size"] = service->memory_bytes();
    one["context_length"] = service->context();
    models.push_back(one);
  }
  send_json(exchange, {{"models", models}});
}

void ollama_show(const Api& api, const ExchangePtr& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  const auto name = fields.text("model") ? fields.text("model") : fields.text("name");
  if (!name) refuse("model is missing", "model");
  ModelService& service = api.models().find(name);
  const auto model = api.load(service, *exchange);
  const std::string& family = model->architecture();
  struct stat info = {};
  stat(service.path().c_str(), &info);
  send_json(exchange, {{"license", ""},
                       {"modelfile", ""},
                       {"parameters", ""},
                       {"system", ""},
                       {"messages", Json::array()},
                       {"modified_at", iso_time(info.st_mtime)},
                       {"template", model->is_chat_model() ? model->impl().chat->source() : ""},
                       {"details", details(family, hub::type_of(service.path()))},
                       {"model_info",
                        {{"general.architecture", family},
                         {"general.name", model->name()},
                         {family + ".context_length", model->context_length()},
                         {"nibble.context", service.context()}}},
                       {"capabilities", Json::array({"completion", "tools"})}});
}

void ollama_chat(const Api& api, const ExchangePtr& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  GenerationRequest request = read_ollama(api, *exchange, fields);
  const Json* messages = fields.find("messages");
  if (messages == nullptr || messages->empty()) return say_loaded(exchange, request, true);
  const ToolUse use = read_tools(fields);
  request.prompts = {
      encode_messages(*request.model, read_messages(fields, "messages"), use, "messages")};
  std::optional<CallForm> calls;
  if (!use.tools.empty()) {
    if (request.grammar != nullptr) refuse("tools and format exclude each other", "tools");
    calls = call_form(*request.model);
    request.grammar = call_grammar(use, *calls);
  }
  answer(exchange, fields, std::move(request), true, calls);
}

void ollama_generate(const Api& api, const ExchangePtr& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  refuse_unoffered(fields, {"suffix", "template", "images"});
  GenerationRequest request = read_ollama(api, *exchange, fields);
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
  if (const Json* before = fields.find("context")) {
    std::vector<int32_t> ids = read_tokens(*before, *request.model, kContextMax, "context");
    const std::vector<int32_t>& fresh = request.prompts[0];
    const bool again =
        !ids.empty() && ids[0] == fresh[0] && fresh[0] == request.model->impl().tokenizer->bos();
    ids.insert(ids.end(), fresh.begin() + (again ? 1 : 0), fresh.end());
    request.prompts[0] = std::move(ids);
  }
  answer(exchange, fields, std::move(request), false);
}

void ollama_embed(const Api& api, const ExchangePtr& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  const auto name = fields.text("model");
  if (!name) refuse("model is missing", "model");
  ModelService& service = api.models().find(name);
  const Embeddings embeddings = embed_texts(api, *exchange, service, fields, "input");
  exchange->record().model = service.name();
  exchange->record().prompt_tokens = embeddings.tokens;
  send_json(exchange, {{"model", service.name()},
                       {"embeddings", embeddings.vectors},
                       {"total_duration", nanoseconds(embeddings.seconds)},
                       {"load_duration", 0},
                       {"prompt_eval_count", embeddings.tokens}});
}

void ollama_pull(const Api& api, const ExchangePtr& exchange) {
  Pulls& pulls = api.pulls();
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  const auto name = fields.text("model") ? fields.text("model") : fields.text("name");
  if (!name) refuse("model is missing", "model");
  pulls.start(*name, fields.flag("stream").value_or(true), exchange);
}

}  // namespace nibble::cli
