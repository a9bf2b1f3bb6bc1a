#include "tools/nibble/hub/curl_library.h"

#include <dlfcn.h>

#include "runtime/file/concat.h"

namespace nibble::hub {
namespace {

template <typename Function>
bool bind(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

Result<CurlLibrary> open_library() {
  // The second is what git uses: the same functions over GnuTLS.
  void* library = nullptr;
  for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4"}) {
    if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  if (library == nullptr) {
    return Error{
        ErrorCode::kUnavailable,
        "downloads need libcurl, which is not installed (on Debian: apt install libcurl4)"};
  }
  CurlLibrary curl;
  const bool whole = bind(library, "curl_global_init", &curl.global_init) &&
                     bind(library, "curl_easy_init", &curl.easy_init) &&
                     bind(library, "curl_easy_setopt", &curl.easy_setopt) &&
                     bind(library, "curl_easy_getinfo", &curl.easy_getinfo) &&
                     bind(library, "curl_easy_cleanup", &curl.easy_cleanup) &&
                     bind(library, "curl_easy_strerror", &curl.easy_strerror) &&
                     bind(library, "curl_slist_append", &curl.slist_append) &&
                     bind(library, "curl_slist_free_all", &curl.slist_free_all) &&
                     bind(library, "curl_multi_init", &curl.multi_init) &&
                     bind(library, "curl_multi_setopt", &curl.multi_setopt) &&
                     bind(library, "curl_multi_add_handle", &curl.multi_add_handle) &&
                     bind(library, "curl_multi_remove_handle", &curl.multi_remove_handle) &&
                     bind(library, "curl_multi_perform", &curl.multi_perform) &&
                     bind(library, "curl_multi_poll", &curl.multi_poll) &&
                     bind(library, "curl_multi_info_read", &curl.multi_info_read) &&
                     bind(library, "curl_multi_cleanup", &curl.multi_cleanup);
  if (!whole || curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    return Error{
        ErrorCode::kUnavailable,
        "libcurl of this system is older than 7.85 or does not start; install a newer one"};
  }
  return curl;
}

}  // namespace

Result<const CurlLibrary*> CurlLibrary::load() {
  static const Result<CurlLibrary> library = open_library();
  if (!library) return library.error();
  return &*library;
}

}  // namespace nibble::hub
