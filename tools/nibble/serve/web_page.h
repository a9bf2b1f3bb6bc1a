// The chat page (tools/nibble/web/), built into the program: no files at run time, nothing from
// elsewhere. Read next: ../web/app.js.
#pragma once

#include <string_view>

#include "tools/nibble/serve/http_message.h"

namespace nibble::cli {

// Whether the path is one of the page's files; they are given to everyone, key or no key.
bool is_web_path(std::string_view path);
// One of them, with the policy that nothing but they is run.
HttpResponse web_file(std::string_view path);

}  // namespace nibble::cli
