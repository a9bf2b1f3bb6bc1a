#include "tools/nibble/hub/places.h"

#include <cstdlib>

namespace nibble::hub {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// The first that is set; relative paths count for nothing, as the XDG specification says.
std::string below(const std::string& folder, const char* more) {
  return folder.starts_with('/') ? folder + more : std::string();
}

}  // namespace

Places find_places() {
  const std::string home = variable("HOME");
  const std::string data = variable("XDG_DATA_HOME");
  const std::string cache = variable("XDG_CACHE_HOME");
  const std::string caches = cache.starts_with('/') ? cache : below(home, "/.cache");
  Places places;
  places.store = variable("NIBBLE_HOME");
  if (places.store.empty()) places.store = below(data, "/nibble");
  if (places.store.empty()) places.store = below(home, "/.local/share/nibble");

  if (const std::string named = variable("OLLAMA_MODELS"); !named.empty()) {
    places.ollama = {named};
  } else {
    // The user's own, and the one of Ollama's service.
    if (!home.empty()) places.ollama.push_back(below(home, "/.ollama/models"));
    places.ollama.emplace_back("/usr/share/ollama/.ollama/models");
  }
  places.llama_cpp = variable("LLAMA_CACHE");
  if (places.llama_cpp.empty()) places.llama_cpp = below(caches, "/llama.cpp");

  std::string hugging_face = variable("HF_HOME");
  if (hugging_face.empty()) hugging_face = below(caches, "/huggingface");
  places.hugging_face = variable("HF_HUB_CACHE");
  if (places.hugging_face.empty()) places.hugging_face = below(hugging_face, "/hub");
  places.hugging_face_token = variable("HF_TOKEN_PATH");
  if (places.hugging_face_token.empty()) places.hugging_face_token = below(hugging_face, "/token");
  return places;
}

}  // namespace nibble::hub
