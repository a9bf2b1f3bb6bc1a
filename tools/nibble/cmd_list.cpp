// nibble list: the models that are on this machine. Read next: hub/store.h, hub/caches.h.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "tools/nibble/command.h"
#include "tools/nibble/hub/resolve.h"
#include "tools/nibble/table.h"

namespace nibble::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples = R"(Every NAME is a MODEL for the other commands. What Ollama,
llama.cpp and Hugging Face's tools have downloaded is used where it lies.

Examples:
  nibble list
  nibble list --all
  nibble list --json | jq '.models[] | .name + " " + .path')";

struct ListChoice {
  bool all = false;
  bool json = false;
};

void print_json(const std::string& folder, const std::vector<hub::KnownModel>& models) {
  Json json = {{"folder", folder}, {"models", Json::array()}};
  for (const hub::KnownModel& model : models) {
    json["models"].push_back({{"name", model.name},
                              {"path", model.path},
                              {"bytes", model.bytes},
                              {"type", model.type.empty() ? Json() : Json(model.type)},
                              {"keeper", model.keeper}});
  }
  std::printf("%s\n", json.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
}

// Names come from folders that others write; control characters must not reach a terminal.
std::string visible(const std::string& text) {
  std::string out;
  for (const char c : text) out += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
  return out;
}

int list(const ListChoice& choice) {
  const hub::Places places = hub::find_places();
  const auto models = hub::all_models(places);
  const auto folder = hub::Store(places.store).folder();
  if (choice.json) {
    print_json(folder ? *folder : "", models);
    return 0;
  }
  Table table({false, false, true, false});
  table.add({"name", "type", "size", "from"});
  for (const hub::KnownModel& model : models) {
    table.add({visible(model.name), model.type.empty() ? "-" : visible(model.type),
               human_bytes(model.bytes), model.keeper});
  }
  if (choice.all) {
    for (const hub::Alias& alias : hub::aliases()) {
      bool here = false;
      for (const hub::KnownModel& model : models) here = here || model.name == alias.name;
      if (here) continue;
      const std::string type = hub::type_of(alias.file);
      table.add({std::string(alias.name), type, alias.bytes > 0 ? human_bytes(alias.bytes) : "-",
                 "to be downloaded"});
    }
  }
  if (models.empty() && !choice.all) {
    std::fprintf(stderr,
                 "nibble: no models yet; get one: nibble pull gemma3:1b, or see: nibble "
                 "list --all\n");
    return 0;
  }
  table.print();
  return 0;
}

}  // namespace

void add_list(CLI::App& app, int* exit_code) {
  auto choice = std::make_shared<ListChoice>();
  CLI::App* command = app.add_subcommand("list", "Show the models that are on this machine");
  command->add_flag("--all", choice->all, "With the short names of what can be downloaded");
  command->add_flag("--json", choice->json, "Print everything as JSON");
  command->footer(kExamples);
  command->callback([choice, exit_code] { *exit_code = list(*choice); });
}

}  // namespace nibble::cli
