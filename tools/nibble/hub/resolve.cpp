#include "tools/nibble/hub/resolve.h"

#include <sys/stat.h>

#include "tools/nibble/hub/caches.h"

namespace nibble::hub {

Result<std::optional<KnownModel>> find_model(const Places& places, const std::string& text) {
  struct stat info = {};
  if (stat(text.c_str(), &info) == 0) {
    return std::optional(KnownModel{text, text, model_bytes(text), type_of(text), "path"});
  }
  NIBBLE_TRY(ModelName name, parse_model_name(text));
  if (auto model = Store(places.store).find(name)) return model;
  if (auto model = find_in_caches(places, name)) return model;
  // What Ollama calls so, where the name is not one of ours.
  if (name.kind == ModelName::Kind::kOther && text.find(':') != std::string::npos) {
    name.text = "ollama:" + text;
    return find_in_caches(places, name);
  }
  return std::optional<KnownModel>();
}

std::vector<KnownModel> all_models(const Places& places) {
  std::vector<KnownModel> models = Store(places.store).list();
  for (KnownModel& model : list_caches(places)) models.push_back(std::move(model));
  return models;
}

}  // namespace nibble::hub
