#include "tools/nibble/hub/caches.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>

#include "runtime/file/concat.h"

namespace nibble::hub {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::string_view kOllamaHome = "registry.ollama.ai/library/";

std::string read_small(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(256 * 1024, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

// Every file below, as a path relative to it. Links to folders are not followed.
std::vector<std::string> files_below(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  const auto skip = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator entry(folder, skip, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code broken;
    if (entry.depth() > 12) entry.disable_recursion_pending();
    if (!entry->is_regular_file(broken) || broken) continue;
    files.push_back(entry->path().string().substr(folder.string().size() + 1));
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The blob of the weights that a manifest names; empty if it names none. A digest is hexadecimal
// and nothing else: it becomes a part of a path.
std::string weights_of(const std::string& root, const std::string& manifest) {
  const Json json = Json::parse(manifest, nullptr, false);
  if (!json.is_object() || !json.contains("layers") || !json["layers"].is_array()) return {};
  for (const Json& layer : json["layers"]) {
    if (!layer.is_object()) continue;
    const auto type = layer.find("mediaType");
    const auto digest = layer.find("digest");
    if (type == layer.end() || *type != "application/vnd.ollama.image.model") continue;
    if (digest == layer.end() || !digest->is_string()) return {};
    const std::string text = digest->get<std::string>();
    const bool is_sum = text.size() == 71 && text.starts_with("sha256:") &&
                        text.find_first_not_of("0123456789abcdef", 7) == std::string::npos;
    return is_sum ? root + "/blobs/sha256-" + text.substr(7) : std::string();
  }
  return {};
}

void add(std::vector<KnownModel>* models, KnownModel model) {
  model.bytes = model_bytes(model.path);
  if (model.bytes > 0) models->push_back(std::move(model));
}

void list_ollama(const std::string& root, std::vector<KnownModel>* models) {
  for (const std::string& file : files_below(root + "/manifests")) {
    const size_t slash = file.rfind('/');
    if (slash == std::string::npos) continue;
    std::string name = file.substr(0, slash) + ":" + file.substr(slash + 1);
    if (name.starts_with(kOllamaHome)) name.erase(0, kOllamaHome.size());
    const std::string path = weights_of(root, read_small(root + "/manifests/" + file));
    if (!path.empty()) add(models, {"ollama:" + name, path, 0, {}, "Ollama"});
  }
}

void list_llama_cpp(const std::string& root, std::vector<KnownModel>* models) {
  for (const std::string& file : files_below(root)) {
    if (!file.ends_with(".gguf") || file.find('/') != std::string::npos) continue;
    const auto shard = shard_of(file);
    if (shard && shard->number != 1) continue;
    const std::string stem = shard ? shard->base : file.substr(0, file.size() - 5);
    add(models, {"llama.cpp:" + stem, root + "/" + file, 0, type_of(file), "llama.cpp"});
  }
}

// hub/models--OWNER--REPO/snapshots/COMMIT/FILE; the commit of refs/main before others.
void list_hugging_face(const std::string& root, std::vector<KnownModel>* models) {
  std::error_code error;
  std::map<std::string, KnownModel> found;
  for (fs::directory_iterator entry(root, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string folder = entry->path().filename().string();
    const size_t between = folder.find("--", 8);
    if (!folder.starts_with("models--") || between == std::string::npos) continue;
    const std::string repository = folder.substr(8, between - 8) + "/" + folder.substr(between + 2);
    std::string main = read_small(entry->path() / "refs/main");
    main.erase(main.find_last_not_of(" \r\n") + 1);
    const std::string snapshots = entry->path().string() + "/snapshots";
    for (const std::string& file : files_below(snapshots)) {
      const size_t commit_end = file.find('/');
      if (commit_end == std::string::npos || !file.ends_with(".gguf")) continue;
      const auto shard = shard_of(file);
      if (shard && shard->number != 1) continue;
      const auto name = parse_model_name("hf:" + repository + file.substr(commit_end));
      if (!name || name->hub.file.empty()) continue;
      const std::string shown = shown_name(name->hub);
      if (found.count(shown) > 0 && file.substr(0, commit_end) != main) continue;
      found[shown] = {shown, snapshots + "/" + file, 0, type_of(file), "Hugging Face"};
    }
  }
  for (auto& [name, model] : found) add(models, std::move(model));
}

// "OWNER_REPO_FILE" without .gguf and shard, as llama.cpp flattens it.
std::string flattened(const HubName& name) {
  const auto shard = shard_of(name.file);
  std::string flat =
      name.repository + "_" + (shard ? shard->base : name.file.substr(0, name.file.size() - 5));
  std::replace(flat.begin(), flat.end(), '/', '_');
  return flat;
}

bool is_called(const KnownModel& model, const ModelName& name) {
  if (name.kind != ModelName::Kind::kHub) {
    return model.name == name.text || model.name == name.text + ":latest";
  }
  if (model.keeper == "llama.cpp") {
    return !name.hub.file.empty() && model.name == "llama.cpp:" + flattened(name.hub);
  }
  const auto own = parse_model_name(model.name);
  if (!own || own->kind != ModelName::Kind::kHub || own->hub.repository != name.hub.repository) {
    return false;
  }
  if (!name.hub.file.empty()) return own->hub.file == name.hub.file;
  return !name.hub.type.empty() && lower(model.type) == lower(name.hub.type);
}

}  // namespace

std::vector<KnownModel> list_caches(const Places& places) {
  std::vector<KnownModel> models;
  if (!places.hugging_face.empty()) list_hugging_face(places.hugging_face, &models);
  if (!places.llama_cpp.empty()) list_llama_cpp(places.llama_cpp, &models);
  for (const std::string& root : places.ollama) list_ollama(root, &models);
  return models;
}

std::optional<KnownModel> find_in_caches(const Places& places, const ModelName& name) {
  for (const KnownModel& model : list_caches(places)) {
    if (is_called(model, name)) return model;
  }
  return {};
}

}  // namespace nibble::hub
