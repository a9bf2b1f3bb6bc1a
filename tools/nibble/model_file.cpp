#include "tools/nibble/model_file.h"

#include <cstdlib>
#include <filesystem>

#include "runtime/file/concat.h"
#include "tools/nibble/hub/caches.h"
#include "tools/nibble/hub/pull.h"
#include "tools/nibble/hub/resolve.h"
#include "tools/nibble/output.h"
#include "tools/nibble/pulling.h"
#include "tools/nibble/suggestion.h"

namespace nibble::cli {
namespace {

// `model` where nothing is to be downloaded, else nothing.
Result<std::optional<std::string>> file_here(const std::string& model) {
  NIBBLE_TRY(const auto found, hub::find_model(hub::find_places(), model));
  if (found) return std::optional(found->path);
  NIBBLE_TRY(const hub::ModelName name, hub::parse_model_name(model));
  if (name.kind == hub::ModelName::Kind::kOther) {
    // NAME or NAME:TAG is what names look like, and few files do.
    const bool is_short = model.find_first_of("/ ") == std::string::npos &&
                          (model.find(':') != std::string::npos || model.find('.') == model.npos);
    std::error_code error;
    if (!is_short || std::filesystem::exists(model, error)) return std::optional(model);
    return Error{ErrorCode::kNoInput,
                 concat("there is no model '", model, "'; nibble list --all tells the names",
                        did_you_mean(model, hub::alias_names()))};
  }
  const char* offline = std::getenv("HF_HUB_OFFLINE");
  if (offline != nullptr && *offline != '\0' && std::string(offline) != "0") {
    return Error{ErrorCode::kNoInput,
                 concat(model, " is not here, and HF_HUB_OFFLINE forbids to ", "download it")};
  }
  hub::ModelName of_ollama;
  of_ollama.text = "ollama:" + model;
  if (hub::find_in_caches(hub::find_places(), of_ollama)) {
    print_note("Ollama has a model of its own by that name; to use it without a download: " +
               of_ollama.text);
  }
  return std::optional<std::string>();
}

}  // namespace

Result<std::string> model_file(const std::string& model, const LoadOptions& load) {
  NIBBLE_TRY(const auto here, file_here(model));
  if (here) return *here;
  NIBBLE_TRY(const hub::Pulled pulled,
             pull_with_progress(model, hub::pull_options_from_environment(), Unfit::kRefuse, load));
  return pulled.model.path;
}

Result<std::string> model_header(const std::string& model) {
  NIBBLE_TRY(const auto here, file_here(model));
  if (here) return *here;
  hub::PullOptions options = hub::pull_options_from_environment();
  options.plan_only = true;
  NIBBLE_TRY(const hub::Pulled pulled, hub::pull_model(model, options, {}));
  return pulled.model.path;
}

bool is_model_name(const std::string& word) {
  if (word.empty() || word.find_first_of(" \t\n") != std::string::npos) return false;
  const auto name = hub::parse_model_name(word);
  if (!name || name->kind != hub::ModelName::Kind::kOther) return true;
  const auto found = hub::find_model(hub::find_places(), word);
  return found && found->has_value() && (*found)->keeper != "path";
}

}  // namespace nibble::cli
