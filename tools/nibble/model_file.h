// The file of a MODEL on the command line, for every command alike: a path, or a name
// (hub/model_name.h) of the store, of another program's cache, or of what is downloaded first.
#pragma once

#include <string>

#include "nibble/nibble.h"

namespace nibble::cli {

// A word that nobody knows is given back as it is, so that opening it tells what is wrong. A name
// of what is not here is downloaded, unless HF_HUB_OFFLINE is set. Errors: 64 a name with a
// mistake; 66 nothing goes by it; those of pull_model().
// Where it would be downloaded, `load` says how it will be used: what does not fit is refused
// first.
Result<std::string> model_file(const std::string& model, const LoadOptions& load = {});

// The same for reading the header alone: of what is not here, no more than the beginning is
// downloaded. The file has the model's length then and holes in it.
Result<std::string> model_header(const std::string& model);

// Whether a word is a model's name: an alias, hf:..., an address, or what is stored under it. A
// path is none.
bool is_model_name(const std::string& word);

}  // namespace nibble::cli
