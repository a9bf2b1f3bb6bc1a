#include "tools/nibble/serve/web_page.h"

#include <algorithm>
#include <iterator>

#include "runtime/file/check.h"

namespace nibble::cli {
namespace {

struct WebFile {
  std::string_view path;
  std::string_view type;
  std::string_view content;
};

// Written by tools/CMakeLists.txt.
constexpr WebFile kFiles[] = {
#include "web_files.inc"
};

const WebFile* find(std::string_view path) {
  if (path == "/") path = "/web/index.html";
  const auto* found = std::find_if(std::begin(kFiles), std::end(kFiles),
                                   [&](const WebFile& file) { return file.path == path; });
  return found == std::end(kFiles) ? nullptr : found;
}

}  // namespace

bool is_web_path(std::string_view path) {
  return find(path) != nullptr;
}

HttpResponse web_file(std::string_view path) {
  const WebFile* file = find(path);
  NIBBLE_CHECK(file != nullptr);
  HttpResponse response;
  response.content_type = file->type;
  response.body = file->content;
  // Scripts and styles of this program alone, and no HTML made of text: what a model says can run
  // nothing and load nothing, even if the page had a hole.
  response.headers = {{"Content-Security-Policy",
                       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                       "connect-src 'self'; base-uri 'none'; form-action 'none'; "
                       "frame-ancestors 'none'; require-trusted-types-for 'script'; "
                       "trusted-types 'none'"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cross-Origin-Opener-Policy", "same-origin"}};
  return response;
}

}  // namespace nibble::cli
