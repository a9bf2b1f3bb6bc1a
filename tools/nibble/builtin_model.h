// Where the story model that comes with nibble is, for `nibble run` without a MODEL.
#pragma once

#include <string>

namespace nibble::cli {

// Path of the built-in model: ../share/nibble/models of the program's own folder (installed), or
// share/nibble/models beside the program (build tree, unpacked archive). Empty when it is in
// neither. Looks nowhere else: no current folder, no environment.
std::string find_builtin_model();

}  // namespace nibble::cli
