#include "tools/nibble/serve/guard.h"

#include <arpa/inet.h>

#include <algorithm>

namespace nibble::cli {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

bool is_address(const std::string& name) {
  in6_addr scratch;
  return inet_pton(AF_INET, name.c_str(), &scratch) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &scratch) == 1;
}

}  // namespace

std::string host_name(std::string_view host) {
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    const bool whole =
        end != std::string_view::npos && (end + 1 == host.size() || host[end + 1] == ':');
    return std::string(whole ? host.substr(1, end - 1) : host);
  }
  return lower(host.substr(0, host.find(':')));
}

bool is_allowed_host(const HttpRequest& request, const std::vector<std::string>& names) {
  const std::string* host = request.header("host");
  if (host == nullptr) return true;
  std::string name = host_name(*host);
  if (name.ends_with('.')) name.pop_back();
  if (is_address(name) || name == "localhost" || name.ends_with(".localhost")) return true;
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& known) { return lower(known) == name; });
}

bool is_allowed_origin(const HttpRequest& request) {
  const std::string* origin = request.header("origin");
  if (origin == nullptr) return true;
  const std::string* host = request.header("host");
  if (host == nullptr) return false;
  const std::string own = lower(*host);
  return lower(*origin) == "http://" + own || lower(*origin) == "https://" + own;
}

bool has_key(const HttpRequest& request, std::string_view key) {
  const std::string* given = request.header("authorization");
  if (given == nullptr) return false;
  const std::string wanted = "Bearer " + std::string(key);
  unsigned difference = given->size() == wanted.size() ? 0 : 1;
  for (size_t i = 0; i < given->size(); ++i) {
    difference |= static_cast<unsigned char>((*given)[i] ^ wanted[i % wanted.size()]);
  }
  return difference == 0;
}

bool is_json(const HttpRequest& request) {
  const std::string* type = request.header("content-type");
  const std::string name = type == nullptr ? "" : lower(type->substr(0, type->find(';')));
  if (name == "application/json" || name == "application/json ") return true;
  const bool curl = name.empty() || name == "application/x-www-form-urlencoded";
  return curl && request.header("origin") == nullptr && request.header("sec-fetch-mode") == nullptr;
}

}  // namespace nibble::cli
