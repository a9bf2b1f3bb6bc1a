// POST /v1/embeddings, and what /api/embed shares with it.
#include "tools/nibble/serve/embedding.h"

#include <chrono>
#include <cstring>
#include <utility>

#include "tools/nibble/serve/request.h"

namespace nibble::cli {
namespace {

constexpr size_t kTextsMax = 256;
constexpr size_t kTokensMax = 1 << 20;

std::string base64(const std::vector<float>& values) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      const unsigned char byte =
          i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0;
      group = group << 8 | byte;
    }
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 4; ++j) {
      out += j <= count ? kLetters[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return out;
}

std::vector<std::vector<int32_t>> read_inputs(const Model& model, const Fields& fields,
                                              const std::string& name) {
  const Json* input = fields.find(name);
  if (input == nullptr) refuse(name + " is missing", name);
  std::vector<std::vector<int32_t>> prompts;
  const bool is_tokens = input->is_array() && !input->empty() && !(*input)[0].is_string();
  if (!is_tokens) {
    for (const std::string& text : fields.texts(name, kTextsMax)) {
      prompts.push_back(model.tokenize(text, true, false));
    }
  } else if ((*input)[0].is_array()) {
    if (input->size() > kTextsMax) {
      fields.wrong(name, "at most " + std::to_string(kTextsMax) + " lists of tokens");
    }
    for (const Json& one : *input) prompts.push_back(read_tokens(one, model, kTokensMax, name));
  } else {
    prompts.push_back(read_tokens(*input, model, kTokensMax, name));
  }
  if (prompts.empty()) refuse(name + " is an empty list", name);
  return prompts;
}

}  // namespace

Embeddings embed_texts(const Api& api, const Exchange& exchange, ModelService& service,
                       const Fields& fields, const std::string& name) {
  const auto model = api.load(service, exchange);
  api.at(Desk::kEmbedding);
  const auto start = std::chrono::steady_clock::now();
  Embeddings out;
  for (const std::vector<int32_t>& ids : read_inputs(*model, fields, name)) {
    if (exchange.gone()) break;
    if (static_cast<int64_t>(ids.size()) > service.context()) {
      refuse(name + " has a text of " + std::to_string(ids.size()) + " tokens, the context holds " +
                 std::to_string(service.context()),
             name);
    }
    auto vector = embed(model, ids);
    if (!vector) throw to_api_error(vector.error());
    out.vectors.push_back(std::move(*vector));
    out.tokens += static_cast<int64_t>(ids.size());
  }
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

void embeddings(const Api& api, const std::shared_ptr<Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  ModelService& service = api.models().find(fields.text("model"));
  const std::string format = fields.text("encoding_format").value_or("float");
  if (format != "float" && format != "base64") {
    fields.wrong("encoding_format", "\"float\" or \"base64\"");
  }
  if (fields.find("dimensions") != nullptr) {
    refuse("dimensions is not offered by this server; leave it out", "dimensions");
  }
  const Embeddings made = embed_texts(api, *exchange, service, fields, "input");
  exchange->record().model = service.name();
  exchange->record().prompt_tokens = made.tokens;
  Json data = Json::array();
  for (const std::vector<float>& vector : made.vectors) {
    Json one = {{"object", "embedding"}, {"index", data.size()}};
    if (format == "base64") {
      one["embedding"] = base64(vector);
    } else {
      one["embedding"] = vector;
    }
    data.push_back(std::move(one));
  }
  send_json(exchange, {{"object", "list"},
                       {"data", data},
                       {"model", service.name()},
                       {"usage", {{"prompt_tokens", made.tokens}, {"total_tokens", made.tokens}}}});
}

}  // namespace nibble::cli
