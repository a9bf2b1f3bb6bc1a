// Where models are: our own folder and the caches of other programs. Read next: store.h, caches.h.
#pragma once

#include <string>
#include <vector>

#include "nibble/result.h"

namespace nibble::hub {

struct Places {
  std::string store;                // with `models` in it; empty where there is no home
  std::vector<std::string> ollama;  // each with `manifests` and `blobs` in it
  std::string llama_cpp;
  std::string hugging_face;        // with folders models--OWNER--REPO
  std::string hugging_face_token;  // a file
};

// $NIBBLE_HOME, else nibble in $XDG_DATA_HOME or ~/.local/share; the others as those programs say:
// $OLLAMA_MODELS, $LLAMA_CACHE, $HF_HUB_CACHE, $HF_HOME.
Places find_places();

}  // namespace nibble::hub
