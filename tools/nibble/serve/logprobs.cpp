#include "tools/nibble/serve/logprobs.h"

#include "runtime/model_impl.h"

namespace nibble::cli {
namespace {

std::string token_text(const Model& model, int32_t id) {
  return std::string(model.impl().tokenizer->piece(id, /*special=*/true));
}

Json entry(const Model& model, int32_t id, float logprob) {
  const std::string text = token_text(model, id);
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", text}, {"logprob", logprob}, {"bytes", bytes}};
}

}  // namespace

Json chat_logprobs(const Model& model, std::span<const Step> steps) {
  Json content = Json::array();
  for (const Step& step : steps) {
    Json token = entry(model, step.id, step.logprob);
    token["top_logprobs"] = Json::array();
    for (const auto& [id, logprob] : step.top) {
      token["top_logprobs"].push_back(entry(model, id, logprob));
    }
    content.push_back(std::move(token));
  }
  return {{"content", content}, {"refusal", nullptr}};
}

Json completion_logprobs(const Model& model, std::span<const Step> steps, size_t* offset) {
  Json tokens = Json::array();
  Json logprobs = Json::array();
  Json tops = Json::array();
  Json offsets = Json::array();
  for (const Step& step : steps) {
    const std::string text = token_text(model, step.id);
    tokens.push_back(text);
    logprobs.push_back(step.logprob);
    offsets.push_back(*offset);
    *offset += text.size();
    Json top = Json::object();
    for (const auto& [id, logprob] : step.top) top[token_text(model, id)] = logprob;
    tops.push_back(std::move(top));
  }
  return {{"tokens", tokens},
          {"token_logprobs", logprobs},
          {"top_logprobs", tops},
          {"text_offset", offsets}};
}

}  // namespace nibble::cli
