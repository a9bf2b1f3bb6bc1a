// nibble rm NAME...: removes models from the store. Read next: hub/store.h.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "runtime/file/concat.h"
#include "tools/nibble/command.h"
#include "tools/nibble/hub/resolve.h"

namespace nibble::cli {
namespace {

constexpr const char* kExamples = R"(Only what nibble keeps is removed: the caches of other programs
and files elsewhere are theirs. An imported link is removed, not its file.

Examples:
  nibble rm gemma3:4b
  nibble rm hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_0)";

Result<hub::KnownModel> find_stored(const hub::Places& places, const std::string& text) {
  NIBBLE_TRY(const hub::ModelName name, hub::parse_model_name(text));
  if (auto model = hub::Store(places.store).find(name)) return *model;
  NIBBLE_TRY(const auto found, hub::find_model(places, text));
  if (!found) {
    return Error{ErrorCode::kNoInput,
                 concat("there is no model '", text, "' here; nibble list tells what is")};
  }
  if (found->keeper == "path") {
    return Error{ErrorCode::kUsage,
                 concat(text, " is a file outside the store; remove it with rm")};
  }
  return Error{ErrorCode::kUsage, concat(found->name, " is ", found->keeper, "'s: ", found->path,
                                         "; remove it with that program")};
}

Result<void> remove(const std::vector<std::string>& names) {
  const hub::Places places = hub::find_places();
  std::vector<hub::KnownModel> models;  // all of them or none
  for (const std::string& name : names) {
    NIBBLE_TRY(hub::KnownModel model, find_stored(places, name));
    models.push_back(std::move(model));
  }
  for (const hub::KnownModel& model : models) {
    NIBBLE_TRY_VOID(hub::Store(places.store).remove(model));
    std::fprintf(stderr, "nibble: removed %s (%s)\n", model.name.c_str(),
                 human_bytes(model.bytes).c_str());
  }
  return {};
}

}  // namespace

void add_rm(CLI::App& app, int* exit_code) {
  auto names = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand("rm", "Remove models that nibble keeps");
  command->add_option("NAME", *names, "As nibble list shows them")->required();
  command->footer(kExamples);
  command->callback([names, exit_code] {
    const auto done = remove(*names);
    *exit_code = done ? 0 : fail(done.error());
  });
}

}  // namespace nibble::cli
