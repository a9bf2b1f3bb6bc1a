#include "runtime/file/check.h"

#include <cstdio>
#include <cstdlib>

namespace nibble {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "nibble: internal error: %s (%s:%d); please report this\n", condition, file,
               line);
  std::abort();
}

}  // namespace nibble
