// nibble show NAME: which file a name is, where it is from and what is in it. Read next:
// hub/resolve.h, cmd_inspect.cpp (everything in the file).
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "runtime/file/concat.h"
#include "runtime/file/gguf.h"
#include "tools/nibble/command.h"
#include "tools/nibble/hub/resolve.h"
#include "tools/nibble/table.h"

namespace nibble::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples = R"(Examples:
  nibble show gemma3:1b
  nibble show gemma3:1b --json
  nibble show gemma3:1b --path | xargs ls -l)";

struct ShowChoice {
  std::string name;
  bool json = false;
  bool path = false;
};

std::string text_or(const GgufFile& file, std::string_view key, const std::string& fallback) {
  const auto text = file.get_string(key, fallback);
  return text ? *text : fallback;
}

// In the order in which they are shown; empty ones are not.
std::vector<std::pair<std::string, std::string>> facts(const hub::KnownModel& model,
                                                       const GgufFile& file) {
  const hub::Record record = hub::read_record(model.path);
  const std::string architecture = text_or(file, "general.architecture", "");
  const auto context = file.get_uint(architecture + ".context_length", 0);
  std::error_code error;
  const bool link = std::filesystem::is_symlink(model.path, error);
  return {{"name", model.name},
          {"file", model.path},
          {"link to", link ? std::filesystem::canonical(model.path, error).string() : ""},
          {"kept by", model.keeper == "path" ? "" : model.keeper},
          {"from", record.from},
          {"commit", record.commit},
          {"got", record.time},
          {"sha256", record.sha256},
          {"size", human_bytes(file.file_bytes())},
          {"type", model.type},
          {"model", text_or(file, "general.name", "")},
          {"architecture", architecture},
          {"context", context && *context > 0 ? std::to_string(*context) : ""},
          {"licence", text_or(file, "general.license", "")}};
}

std::string visible(const std::string& text) {
  std::string out;
  for (const char c : text) out += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
  return out;
}

Result<void> show(const ShowChoice& choice) {
  NIBBLE_TRY(const auto model, hub::find_model(hub::find_places(), choice.name));
  if (!model) {
    return Error{ErrorCode::kNoInput,
                 concat("there is no model '", choice.name,
                        "' here; nibble list tells what is, nibble pull ", "downloads")};
  }
  if (choice.path) {
    std::printf("%s\n", model->path.c_str());
    return {};
  }
  NIBBLE_TRY(const GgufFile file, GgufFile::open(model->path));
  if (choice.json) {
    Json json;
    for (const auto& [key, value] : facts(*model, file)) {
      if (!value.empty()) json[key] = value;
    }
    json["bytes"] = file.file_bytes();
    std::printf("%s\n", json.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
    return {};
  }
  Table table({false, false});
  for (const auto& [key, value] : facts(*model, file)) {
    if (!value.empty()) table.add({key, visible(value)});
  }
  table.print();
  return {};
}

}  // namespace

void add_show(CLI::App& app, int* exit_code) {
  auto choice = std::make_shared<ShowChoice>();
  CLI::App* command = app.add_subcommand("show", "Tell which file a model's name is");
  command->add_option("NAME", choice->name, "As nibble list shows it, or a file")->required();
  command->add_flag("--path", choice->path, "Print the path of the file alone");
  command->add_flag("--json", choice->json, "Print everything as JSON");
  command->footer(kExamples);
  command->callback([choice, exit_code] {
    const auto done = show(*choice);
    *exit_code = done ? 0 : fail(done.error());
  });
}

}  // namespace nibble::cli
