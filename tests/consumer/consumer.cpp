// Uses the installed library: prints its version when the machine can be set up and the kernels
// are inside the archive.
#include <cstdio>
#include <string>

#include "nibble/nibble.h"

int main() {
  nibble::EngineOptions options;
  options.threads = 1;
  auto engine = nibble::Engine::create(options);
  if (!engine) {
    std::fprintf(stderr, "%s\n", engine.error().message.c_str());
    return static_cast<int>(engine.error().code);
  }
  if ((*engine)->choices().empty()) return 70;
  std::printf("%s\n", std::string(nibble::version()).c_str());
  return 0;
}
