#include "tools/nibble/hub/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "runtime/file/atomic_file.h"
#include "runtime/file/concat.h"

namespace nibble::hub {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Whether a listed model goes by that name.
bool is_called(const KnownModel& model, const ModelName& name) {
  if (model.name == name.text) return true;
  if (name.kind != ModelName::Kind::kHub) return false;
  const auto own = parse_model_name(model.name);
  if (!own || own->kind != ModelName::Kind::kHub) return false;
  if (own->hub.repository != name.hub.repository) return false;
  if (!name.hub.file.empty()) return own->hub.file == name.hub.file;
  return !name.hub.type.empty() && lower(type_of(own->hub.file)) == lower(name.hub.type);
}

// The name of models/`relative`.
std::string name_of(const std::string& relative, const Record& record) {
  if (relative.starts_with("hf/")) {
    const auto name = parse_model_name("hf:" + relative.substr(3));
    if (name && !name->hub.file.empty()) return shown_name(name->hub);
  }
  if (relative.starts_with("url/") && record.from.find("://") != std::string::npos) {
    return record.from;
  }
  const auto shard = shard_of(relative);
  return shard ? shard->base : relative.substr(0, relative.size() - 5);
}

}  // namespace

std::string record_path(const std::string& path) {
  return path + ".json";
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

void sync_folder_of(const std::string& path) {
  const int folder = open(fs::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  fsync(folder);
  close(folder);
}

Record read_record(const std::string& path) {
  std::ifstream in(record_path(path), std::ios::binary);
  std::string text(64 * 1024, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  const Json json = Json::parse(text, nullptr, false);
  Record record;
  if (!json.is_object()) return record;
  record.from = text_of(json, "from");
  record.commit = text_of(json, "commit");
  record.etag = text_of(json, "etag");
  record.sha256 = text_of(json, "sha256");
  record.time = text_of(json, "time");
  if (const auto bytes = json.find("bytes"); bytes != json.end() && bytes->is_number_unsigned()) {
    record.bytes = bytes->get<uint64_t>();
  }
  return record;
}

Result<void> write_record(const std::string& path, const Record& record) {
  Json json = {{"from", record.from}};
  if (!record.commit.empty()) json["commit"] = record.commit;
  if (!record.etag.empty()) json["etag"] = record.etag;
  json["sha256"] = record.sha256;
  json["bytes"] = record.bytes;
  json["time"] = record.time;
  const std::string text = json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  NIBBLE_TRY(AtomicFile file, AtomicFile::create(record_path(path)));
  NIBBLE_TRY_VOID(file.write(0, text.data(), text.size()));
  return file.commit();
}

uint64_t model_bytes(const std::string& path) {
  uint64_t bytes = 0;
  for (const std::string& part : shard_names(path)) {
    struct stat info = {};
    if (stat(part.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return 0;
    bytes += static_cast<uint64_t>(info.st_size);
  }
  return bytes;
}

Result<void> make_folders_for(const std::string& path) {
  std::error_code error;
  const fs::path folder = fs::path(path).parent_path();
  fs::create_directories(folder, error);
  if (!error) return {};
  const bool denied = error == std::errc::permission_denied;
  return Error{denied ? ErrorCode::kPermission : ErrorCode::kCannotCreate,
               concat(folder.string(), ": cannot be made: ", error.message(),
                      "; NIBBLE_HOME names another place for models")};
}

Result<std::string> Store::folder() const {
  if (root_.empty()) {
    return Error{
        ErrorCode::kCannotCreate,
        "there is no place for models: neither NIBBLE_HOME, XDG_DATA_HOME nor HOME is set; "
        "set NIBBLE_HOME to a folder"};
  }
  return root_ + "/models";
}

Result<std::string> Store::place(const HubName& name) const {
  NIBBLE_TRY(const std::string models, folder());
  const std::string relative = name.repository + "/" + name.file;
  if (!is_safe_path(relative)) {
    return Error{ErrorCode::kUsage, concat(nibble::quoted(relative), " is no name for a file")};
  }
  return models + "/hf/" + relative;
}

Result<std::string> Store::place_of_url(const std::string& url) const {
  NIBBLE_TRY(const std::string models, folder());
  std::string relative = url.substr(url.find("://") + 3);
  relative = relative.substr(0, relative.find_first_of("?#"));
  if (!is_safe_path(relative)) {
    return Error{ErrorCode::kUsage,
                 concat(nibble::quoted(url),
                        ": the path of this address makes no name for a file; download "
                        "it otherwise, then: nibble import FILE NAME")};
  }
  return models + "/url/" + relative;
}

Result<std::string> Store::place_of_import(const std::string& name) const {
  NIBBLE_TRY(const std::string models, folder());
  const auto parsed = parse_model_name(name);
  if (!parsed || parsed->kind != ModelName::Kind::kOther || !is_safe_path(name + ".gguf") ||
      name.find(':') != std::string::npos || name.starts_with("hf/") || name.starts_with("url/") ||
      name.find_first_of(" \t\n") != std::string::npos || lower(name).ends_with(".gguf")) {
    return Error{ErrorCode::kUsage, concat(nibble::quoted(name),
                                           " cannot be the name of an imported model; use letters, "
                                           "digits, - and _, and no .gguf")};
  }
  return models + "/" + name + ".gguf";
}

std::vector<KnownModel> Store::list() const {
  std::vector<KnownModel> models;
  const auto top = folder();
  if (!top) return models;
  std::error_code error;
  const auto skip = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator entry(*top, skip, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string path = entry->path().string();
    if (!path.ends_with(".gguf")) continue;
    const auto shard = shard_of(path);
    if (shard && shard->number != 1) continue;
    KnownModel model;
    model.bytes = model_bytes(path);
    if (model.bytes == 0) continue;  // a broken link, or a shard that is still to come
    model.name = name_of(path.substr(top->size() + 1), read_record(path));
    model.path = path;
    model.type = type_of(path);
    model.keeper = "nibble";
    models.push_back(std::move(model));
  }
  std::sort(models.begin(), models.end(),
            [](const KnownModel& a, const KnownModel& b) { return a.name < b.name; });
  return models;
}

std::optional<KnownModel> Store::find(const ModelName& name) const {
  for (const KnownModel& model : list()) {
    if (is_called(model, name)) return model;
  }
  if (name.kind != ModelName::Kind::kHub || !name.hub.file.empty() || !name.hub.type.empty()) {
    return {};
  }
  // Of a repository without a choice: what was got of it, if that is one model.
  std::optional<KnownModel> only;
  for (const KnownModel& model : list()) {
    const auto own = parse_model_name(model.name);
    if (!own || own->hub.repository != name.hub.repository) continue;
    if (only) return {};
    only = model;
  }
  return only;
}

Result<void> Store::remove(const KnownModel& model) const {
  NIBBLE_TRY(const std::string models, folder());
  for (const std::string& part : shard_names(model.path)) {
    for (const char* suffix : {"", ".json", ".part", ".part.json"}) {
      const std::string path = part + suffix;
      if (unlink(path.c_str()) == 0 || errno == ENOENT) continue;
      const bool denied = errno == EACCES || errno == EPERM || errno == EROFS;
      return Error{denied ? ErrorCode::kPermission : ErrorCode::kIo,
                   concat(path, ": cannot be removed: ", std::strerror(errno))};
    }
  }
  std::error_code error;
  fs::path folder_of = fs::path(model.path).parent_path();
  while (folder_of != fs::path(models) && folder_of.string().starts_with(models)) {
    if (!fs::remove(folder_of, error) || error) break;  // not empty
    folder_of = folder_of.parent_path();
  }
  return {};
}

}  // namespace nibble::hub
