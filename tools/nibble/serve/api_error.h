// What a route says when it cannot do what was asked; thrown inside the routes alone and caught in
// one place (api.cpp). Each API family has its own form of it. Read next: api.h.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "nibble/result.h"
#include "tools/nibble/serve/http_message.h"

namespace nibble::cli {

using Json = nlohmann::ordered_json;

struct ApiError {
  int status = 400;
  std::string message;
  std::string param = {};  // the field, if it is about one
  std::string code = {};   // OpenAI's machine-readable word
};

// The threads that answer. What takes long is not done by the one that reads requests, which others
// wait for.
enum class Desk { kReading, kLoading, kEmbedding };

// Thrown by a route: the request is to be answered there, from its beginning.
struct Elsewhere {
  Desk desk;
};

[[noreturn]] void refuse(const std::string& message, const std::string& param = {});

// The status for an error of the library.
ApiError to_api_error(const Error& error);

// {"error": {"message", "type", "param", "code"}}
Json openai_error(const ApiError& error);
// {"error": "message"}
Json ollama_error(const ApiError& error);

// The response in the form of the API that `path` belongs to, with Retry-After where it helps.
HttpResponse error_response(const ApiError& error, const std::string& path);

// Any text becomes valid JSON: what is not UTF-8 is replaced.
std::string dump(const Json& json);

}  // namespace nibble::cli
