// Preloaded into the program: what it opens below /sys is looked for below $FAKE_BOARD/sys instead,
// so that a test can have any board's clock, heat and power supply.
#include <dlfcn.h>
#include <fcntl.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

// The libc's own function of that name.
template <typename Function>
Function* original(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

std::string moved(const char* path) {
  const char* root = std::getenv("FAKE_BOARD");
  return root != nullptr && std::strncmp(path, "/sys/", 5) == 0 ? std::string(root) + path : path;
}

}  // namespace

extern "C" {

FILE* fopen(const char* path, const char* mode) {
  return original<FILE*(const char*, const char*)>("fopen")(moved(path).c_str(), mode);
}

FILE* fopen64(const char* path, const char* mode) {
  return original<FILE*(const char*, const char*)>("fopen64")(moved(path).c_str(), mode);
}

int openat(int directory, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return original<int(int, const char*, int, ...)>("openat")(directory, moved(path).c_str(), flags,
                                                             mode);
}

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return original<int(const char*, int, ...)>("open")(moved(path).c_str(), flags, mode);
}

}  // extern "C"
