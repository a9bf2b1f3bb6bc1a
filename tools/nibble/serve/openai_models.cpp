// GET /v1/models and /v1/models/NAME; GET /props; POST /tokenize and /detokenize.
#include "nibble/nibble.h"
#include "tools/nibble/serve/api.h"
#include "tools/nibble/serve/request.h"

namespace nibble::cli {
namespace {

constexpr size_t kTextMax = 1 << 20;  // bytes that /tokenize takes
constexpr size_t kTokensMax = 1 << 20;

Json model_entry(const std::string& name, bool loaded) {
  return {{"id", name},
          {"object", "model"},
          {"created", 0},
          {"owned_by", "nibble"},
          {"loaded", loaded}};
}

Json loaded_props(const Api& api, const ModelService& service, const Model& model) {
  const SamplingOptions s = recommended_sampling(model);
  Json entry = {{"name", service.name()},
                {"context", service.context()},
                {"loaded", true},
                {"memory_bytes", service.memory_bytes()},
                {"architecture", model.architecture()},
                {"trained_context", model.context_length()},
                {"vocabulary", model.vocabulary_size()},
                {"chat", model.is_chat_model()}};
  // No faster than memory gives the weights.
  const double limit = api.memory_gb_per_s() * 1e9 / static_cast<double>(model.decode_bytes());
  if (limit > 0) entry["limit_tokens_s"] = limit;
  entry["sampling"] = {{"temperature", s.temperature},
                       {"top_k", s.top_k},
                       {"top_p", s.top_p},
                       {"min_p", s.min_p},
                       {"repeat_penalty", s.repeat_penalty}};
  return entry;
}

// %2F in a name that holds a slash.
std::string percent_decode(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 &&
        digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

void list_models(const Api& api, const std::shared_ptr<Exchange>& exchange) {
  Json data = Json::array();
  for (const ModelService* service : api.models().services()) {
    data.push_back(model_entry(service->name(), service->loaded() != nullptr));
  }
  for (const auto& model : api.models().others()) data.push_back(model_entry(model.name, false));
  send_json(exchange, {{"object", "list"}, {"data", data}});
}

void show_model(const Api& api, const std::shared_ptr<Exchange>& exchange) {
  constexpr std::string_view kPrefix = "/v1/models/";
  const std::string& path = exchange->request().path;
  const ModelService& service = api.models().find(percent_decode(path.substr(kPrefix.size())));
  send_json(exchange, model_entry(service.name(), service.loaded() != nullptr));
}

void tokenize(const Api& api, const std::shared_ptr<Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  const auto model = api.load(api.models().find(fields.text("model")), *exchange);
  const auto content = fields.text("content");
  if (!content) refuse("content is missing", "content");
  if (content->size() > kTextMax) {
    refuse("content has " + std::to_string(content->size()) + " bytes, at most " +
               std::to_string(kTextMax) + " are taken",
           "content");
  }
  const bool special = fields.flag("add_special").value_or(false);
  send_json(exchange, {{"tokens", model->tokenize(*content, special,
                                                  fields.flag("parse_special").value_or(true))}});
}

void detokenize(const Api& api, const std::shared_ptr<Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  const auto model = api.load(api.models().find(fields.text("model")), *exchange);
  const Json* tokens = fields.find("tokens");
  if (tokens == nullptr) refuse("tokens is missing", "tokens");
  send_json(exchange,
            {{"content", model->detokenize(read_tokens(*tokens, *model, kTokensMax, "tokens"))}});
}

// ?model=NAME: of that one alone, loaded for it. Without a name none is loaded, and little is told
// of those that are not.
void props(const Api& api, const std::shared_ptr<Exchange>& exchange) {
  constexpr std::string_view kModel = "model=";
  const std::string& query = exchange->request().query;
  Json models = Json::array();
  if (query.starts_with(kModel)) {
    ModelService& service = api.models().find(percent_decode(query.substr(kModel.size())));
    models.push_back(loaded_props(api, service, *api.load(service, *exchange)));
  } else {
    const auto of_name = [](const std::string& name) {
      return Json{{"name", name}, {"loaded", false}};
    };
    for (const ModelService* service : api.models().services()) {
      const auto model = service->loaded();
      models.push_back(model ? loaded_props(api, *service, *model) : of_name(service->name()));
    }
    for (const auto& model : api.models().others()) models.push_back(of_name(model.name));
  }
  Json out = {{"version", version()},
              {"by_name", api.models().by_name()},
              {"pull", api.can_pull()},
              {"models", models}};
  if (api.can_pull()) {
    out["pull_names"] = hub::alias_names();
  } else {
    out["no_pull"] = api.why_no_pull();
  }
  send_json(exchange, out);
}

}  // namespace nibble::cli
