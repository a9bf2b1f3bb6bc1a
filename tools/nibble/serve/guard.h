// Who may ask. A page of another site must not reach this server through a person's browser:
// neither by its own origin, nor under a name of its own that it lets point here (DNS rebinding).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/nibble/serve/http_message.h"

namespace nibble::cli {

// "localhost:8080" -> "localhost", "[::1]:80" -> "::1".
std::string host_name(std::string_view host);

// An IP address, localhost or a name below it, or one of `names`: rebinding needs a name of the
// attacker's. An absent Host (HTTP/1.0) is allowed.
bool is_allowed_host(const HttpRequest& request, const std::vector<std::string>& names);

// No Origin (not a browser's page), or the page that this server gave.
bool is_allowed_origin(const HttpRequest& request);

// "Authorization: Bearer KEY", compared in a time that does not tell how much of it is right.
bool has_key(const HttpRequest& request, std::string_view key);

// application/json; or what curl -d says, from where there is no browser.
bool is_json(const HttpRequest& request);

}  // namespace nibble::cli
