// HTTP requests and responses as the routes see them. Read next: http_parser.h, http_server.h.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble::cli {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;  // names in lower case

struct HttpRequest {
  std::string method;
  std::string path;   // without the query; as sent, nothing is decoded
  std::string query;  // behind the question mark
  int minor_version = 1;
  HttpHeaders headers;
  std::string body;
  std::string peer;  // address without port
  std::string id;    // of this request, for logs: the client's X-Request-Id, or one of ours
  bool keep_alive = true;

  // The header's value, or null. Names are given in lower case.
  const std::string* header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return &value;
    }
    return nullptr;
  }
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  HttpHeaders headers;  // more of them
};

std::string_view http_reason(int status);  // "Not Found"

}  // namespace nibble::cli
