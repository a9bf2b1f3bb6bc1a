// Which file a MODEL is: the one way from what a person writes to a path, for every command.
//
// In this order: a path that is there; the store; the caches of other programs, where they lie.
// Nothing is downloaded here. Read next: store.h, caches.h, ../model_file.h (with the download).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "tools/nibble/hub/places.h"
#include "tools/nibble/hub/store.h"

namespace nibble::hub {

// Nothing where it would have to be downloaded, or is not known. Error 64: a name with a mistake.
Result<std::optional<KnownModel>> find_model(const Places& places, const std::string& text);

// Store and caches, for `nibble list` and for /api/tags.
std::vector<KnownModel> all_models(const Places& places);

}  // namespace nibble::hub
