// Finds the built-in model from the program's own place, so that an installed tree can be moved.
#include "tools/nibble/builtin_model.h"

#include <filesystem>
#include <system_error>

namespace nibble::cli {
namespace {

constexpr const char* kFolders[] = {"../share/nibble/models", "share/nibble/models"};
constexpr const char* kName = "stories-gemma3-qat-q4_0.gguf";

}  // namespace

std::string find_builtin_model() {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return {};
  for (const char* folder : kFolders) {
    const fs::path path = (program.parent_path() / folder / kName).lexically_normal();
    if (fs::is_regular_file(path, error)) return path.string();
  }
  return {};
}

}  // namespace nibble::cli
