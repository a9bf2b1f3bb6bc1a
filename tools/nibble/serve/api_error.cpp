#include "tools/nibble/serve/api_error.h"

namespace nibble::cli {

void refuse(const std::string& message, const std::string& param) {
  throw ApiError{400, message, param};
}

ApiError to_api_error(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUsage:
      return {400, error.message};
    case ErrorCode::kUnavailable:
      return {429, error.message, {}, "queue_full"};
    case ErrorCode::kOs:
      return {503, error.message, {}, "no_memory"};
    default:
      return {500, error.message};
  }
}

Json openai_error(const ApiError& error) {
  const char* type = "invalid_request_error";
  if (error.status == 401) type = "authentication_error";
  if (error.status == 403) type = "permission_error";
  if (error.status == 429) type = "rate_limit_error";
  if (error.status >= 500) type = "server_error";
  Json body = {{"message", error.message}, {"type", type}, {"param", nullptr}, {"code", nullptr}};
  if (!error.param.empty()) body["param"] = error.param;
  if (!error.code.empty()) body["code"] = error.code;
  return {{"error", body}};
}

Json ollama_error(const ApiError& error) {
  return {{"error", error.message}};
}

HttpResponse error_response(const ApiError& error, const std::string& path) {
  HttpResponse response;
  response.status = error.status;
  response.body = dump(path.starts_with("/api/") ? ollama_error(error) : openai_error(error));
  if (error.status == 429 || error.status == 503) response.headers = {{"Retry-After", "1"}};
  if (error.status == 401) response.headers = {{"WWW-Authenticate", "Bearer"}};
  return response;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace nibble::cli
