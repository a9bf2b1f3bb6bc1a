// Taking a GGUF file that is already on this machine into the store. Read next: store.h.
#pragma once

#include <functional>
#include <string>

#include "nibble/result.h"
#include "tools/nibble/hub/store.h"

namespace nibble::hub {

struct ImportOptions {
  std::string name;                               // empty: the file's
  bool link = false;                              // a symbolic link instead of a copy
  std::function<bool(double fraction)> progress;  // false: stop (130)
};

// A file, or the first of a split model's, which must open as a model. What goes by that name
// already is not replaced. Errors: those of opening it; 64 a name that cannot be, or is taken; 73,
// 74, 77, 130.
Result<KnownModel> import_model(const Store& store, const std::string& file,
                                const ImportOptions& options);

}  // namespace nibble::hub
