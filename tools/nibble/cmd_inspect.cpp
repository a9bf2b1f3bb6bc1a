// nibble inspect FILE: what is in a model file, for people and (--json) for scripts.
// Read next: kv_memory.h, runtime/file/gguf.h.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <variant>

#include "runtime/file/gguf.h"
#include "tools/nibble/command.h"
#include "tools/nibble/kv_memory.h"
#include "tools/nibble/model_file.h"
#include "tools/nibble/sandbox.h"
#include "tools/nibble/table.h"

namespace nibble::cli {
namespace {

using nlohmann::json;

constexpr const char* kExamples = R"(Examples:
  nibble inspect model.gguf              metadata, totals and KV-cache memory
  nibble inspect model.gguf --tensors    also every tensor
  nibble inspect model.gguf --json | jq '.metadata["general.architecture"].value'

A model split over several files is inspected by its first part.)";

struct InspectOptions {
  std::string path;
  bool as_json = false;
  bool tensors = false;
};

struct TypeTotal {
  uint64_t tensors = 0;
  uint64_t weights = 0;
  uint64_t bytes = 0;
};

std::string type_name(const GgufTensor& tensor) {
  return std::string(gguf_type_info(tensor.type_id).name);
}

// In order of size, largest first.
std::vector<std::pair<std::string, TypeTotal>> type_totals(const GgufFile& file) {
  std::map<std::string, TypeTotal> by_type;
  for (const GgufTensor& tensor : file.tensors()) {
    TypeTotal& total = by_type[type_name(tensor)];
    ++total.tensors;
    total.weights += tensor.dims[0] * tensor.rows();
    total.bytes += tensor.bytes;
  }
  std::vector<std::pair<std::string, TypeTotal>> totals(by_type.begin(), by_type.end());
  std::stable_sort(totals.begin(), totals.end(),
                   [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  return totals;
}

json array_json(const GgufArray& array) {
  if (array.type == GgufType::kString) return array.strings;
  if (!array.floats.empty()) return array.floats;
  if (!array.ints.empty()) return array.ints;
  if (array.type != GgufType::kBool) return array.uints;
  json values = json::array();
  for (const uint64_t value : array.uints) values.push_back(value != 0);
  return values;
}

json value_json(const GgufValue& value) {
  return std::visit(
      [](const auto& data) -> json {
        if constexpr (std::is_same_v<std::decay_t<decltype(data)>, GgufArray>) {
          return array_json(data);
        } else {
          return data;
        }
      },
      value.data);
}

// JSON text that a terminal can show: no control characters, invalid UTF-8 replaced.
std::string shown(const json& value) {
  const auto dump = [&](bool ascii) {
    return value.dump(-1, ' ', ascii, json::error_handler_t::replace);
  };
  std::string text = dump(false);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && (text[i + 1] & 0xe0) == 0x80;
    if (byte == 0x7f || c1) return dump(true);
  }
  return text;
}

// A string of at most `longest` bytes of it.
std::string shown_text(const std::string& text, size_t longest) {
  if (text.size() <= longest) return shown(text);
  size_t cut = longest;
  while (cut > 0 && (text[cut] & 0xc0) == 0x80) --cut;
  return shown(text.substr(0, cut)) + "... (" + std::to_string(text.size()) + " bytes)";
}

std::string shown_array(const GgufArray& array) {
  constexpr size_t kShown = 6, kLongest = 24;
  std::string text = "[";
  for (size_t i = 0; i < std::min(array.size(), kShown); ++i) {
    if (i > 0) text += ", ";
    if (array.type == GgufType::kString) {
      text += shown_text(array.strings[i], kLongest);
    } else if (array.type == GgufType::kBool) {
      text += array.uints[i] != 0 ? "true" : "false";
    } else if (!array.uints.empty()) {
      text += std::to_string(array.uints[i]);
    } else {
      text += array.ints.empty() ? shown(array.floats[i]) : std::to_string(array.ints[i]);
    }
  }
  return text + (array.size() > kShown ? ", ...]" : "]");
}

std::string shown_value(const GgufValue& value) {
  constexpr size_t kLongest = 72;
  if (const auto* array = std::get_if<GgufArray>(&value.data)) return shown_array(*array);
  if (const auto* text = std::get_if<std::string>(&value.data)) return shown_text(*text, kLongest);
  if (value.type == GgufType::kFloat32) {  // shortest text that gives the same float
    char text[32];
    std::snprintf(text, sizeof(text), "%.9g", std::get<double>(value.data));
    for (int digits = 1; digits < 9; ++digits) {
      char shorter[32];
      std::snprintf(shorter, sizeof(shorter), "%.*g", digits, std::get<double>(value.data));
      if (std::strtof(shorter, nullptr) == std::strtof(text, nullptr)) return shorter;
    }
    return text;
  }
  return shown(value_json(value));
}

std::string shown_type(const GgufValue& value) {
  const auto* array = std::get_if<GgufArray>(&value.data);
  if (array == nullptr) return std::string(gguf_type_name(value.type));
  return std::string(gguf_type_name(array->type)) + "[" + std::to_string(array->size()) + "]";
}

std::string shown_shape(const GgufTensor& tensor) {
  std::string text;
  for (const uint64_t dim : tensor.dims) text += (text.empty() ? "" : " x ") + std::to_string(dim);
  return text;
}

// A name without its quotes; escapes stay.
std::string shown_name(const std::string& name) {
  const std::string text = shown(name);
  return text.substr(1, text.size() - 2);
}

void print_text(const GgufFile& file, bool with_tensors) {
  std::printf("%s: GGUF version %u, %s, %zu keys, %zu tensors\n", file.path().c_str(),
              file.version(), human_bytes(file.file_bytes()).c_str(), file.metadata().size(),
              file.tensors().size());
  std::printf("\nMetadata\n");
  Table metadata({false, false, false});
  for (const auto& [key, value] : file.metadata()) {
    metadata.add({shown_name(key), shown_type(value), shown_value(value)});
  }
  metadata.print();
  if (with_tensors) {
    std::printf("\nTensors\n");
    Table tensors({false, false, true, true});
    for (const GgufTensor& tensor : file.tensors()) {
      tensors.add({shown_name(tensor.name), type_name(tensor), shown_shape(tensor),
                   human_bytes(tensor.bytes)});
    }
    tensors.print();
  }
  if (!file.tensors().empty()) {
    std::printf("\nTypes\n");
    Table types({false, true, true, true});
    types.add({"type", "tensors", "weights", "size"});
    for (const auto& [name, total] : type_totals(file)) {
      types.add({name, std::to_string(total.tensors), std::to_string(total.weights),
                 human_bytes(total.bytes)});
    }
    types.print();
  }
  const auto kv_memory = kv_memory_table(file);
  if (kv_memory.empty()) return;
  std::printf("\nMemory\n");
  Table memory({true, true});
  memory.add({"context", "KV cache (f16)"});
  for (const KvMemory& row : kv_memory) {
    memory.add({std::to_string(row.context), human_bytes(row.bytes)});
  }
  memory.print();
}

void print_json(const GgufFile& file) {
  json out = {{"file", file.path()},
              {"version", file.version()},
              {"file_bytes", file.file_bytes()},
              {"alignment", file.alignment()},
              {"metadata", json::object()},
              {"tensors", json::array()},
              {"types", json::array()},
              {"kv_cache", json::array()}};
  for (const auto& [key, value] : file.metadata()) {
    json& entry = out["metadata"][key];
    entry = {{"type", gguf_type_name(value.type)}, {"value", value_json(value)}};
    if (const auto* array = std::get_if<GgufArray>(&value.data)) {
      entry["element_type"] = gguf_type_name(array->type);
    }
  }
  for (const GgufTensor& tensor : file.tensors()) {
    out["tensors"].push_back({{"name", tensor.name},
                              {"type", type_name(tensor)},
                              {"shape", tensor.dims},
                              {"bytes", tensor.bytes},
                              {"shard", tensor.shard},
                              {"offset", tensor.offset}});
  }
  for (const auto& [name, total] : type_totals(file)) {
    out["types"].push_back({{"type", name},
                            {"tensors", total.tensors},
                            {"weights", total.weights},
                            {"bytes", total.bytes}});
  }
  for (const KvMemory& row : kv_memory_table(file)) {
    out["kv_cache"].push_back({{"context", row.context}, {"format", "f16"}, {"bytes", row.bytes}});
  }
  std::printf("%s\n", out.dump(1, ' ', false, json::error_handler_t::replace).c_str());
}

int inspect(const InspectOptions& options) {
  const auto path = model_header(options.path);
  if (!path) return fail(path.error());
  enter_sandbox(Sandbox::kReadOnly);
  const auto file = GgufFile::open(*path);
  enter_sandbox(Sandbox::kClosed);
  if (!file) return fail(file.error());
  if (options.as_json) {
    print_json(*file);
  } else {
    print_text(*file, options.tensors);
  }
  return 0;
}

}  // namespace

void add_inspect(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand("inspect", "Show what is in a GGUF model file");
  command->add_option("file", options->path, "A GGUF file or a name")
      ->required()
      ->type_name("MODEL");
  command->add_flag("--json", options->as_json, "Print everything as JSON");
  command->add_flag("--tensors", options->tensors, "List every tensor");
  command->footer(kExamples);
  command->callback([options, exit_code] { *exit_code = inspect(*options); });
}

}  // namespace nibble::cli
