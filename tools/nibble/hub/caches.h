// Models that other programs have downloaded, used where they lie: Ollama's, llama.cpp's and
// Hugging Face's caches are read and never written. Read next: resolve.h.
#pragma once

#include <optional>
#include <vector>

#include "tools/nibble/hub/places.h"
#include "tools/nibble/hub/store.h"

namespace nibble::hub {

// Names: ollama:NAME:TAG; llama.cpp:FILE without .gguf; hf:OWNER/REPO/FILE, or its alias.
std::vector<KnownModel> list_caches(const Places& places);

// The model that a person calls so. A file of a hub is looked for in the caches of those who
// download from there; ollama:NAME, also without ":latest", in Ollama's.
std::optional<KnownModel> find_in_caches(const Places& places, const ModelName& name);

}  // namespace nibble::hub
