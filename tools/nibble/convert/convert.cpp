#include "tools/nibble/convert/convert.h"

#include <filesystem>

#include "runtime/file/concat.h"
#include "tools/nibble/convert/checkpoint.h"
#include "tools/nibble/convert/hf_config.h"
#include "tools/nibble/convert/hf_tokenizer.h"
#include "tools/nibble/convert/json_file.h"

namespace nibble::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kConfigBytesMax = 16 << 20;

Result<void> check_folder(const std::string& folder) {
  std::error_code ignored;
  if (fs::is_directory(folder, ignored)) return {};
  if (fs::exists(folder, ignored)) {
    return Error{ErrorCode::kNoInput,
                 concat(folder,
                        ": is not a directory; give the one that holds config.json, the "
                        "safetensors files and tokenizer.json")};
  }
  return Error{ErrorCode::kNoInput, concat(folder, ": No such directory")};
}

// The last part of the directory's path, which is how people name models.
std::string name_of(const std::string& folder) {
  std::error_code ignored;
  fs::path path = fs::absolute(folder, ignored).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().string();
}

}  // namespace

Result<HfModel> open_hf_model(const std::string& folder) {
  NIBBLE_TRY_VOID(check_folder(folder));
  const std::string config_path = concat(folder, "/config.json");
  NIBBLE_TRY(const Json json, read_json_object(config_path, kConfigBytesMax));
  Metadata metadata, hyperparameters;
  NIBBLE_TRY(HfConfig config, read_hf_config(config_path, json, &hyperparameters));
  NIBBLE_TRY(Checkpoint checkpoint, open_checkpoint(folder));
  NIBBLE_TRY(ConvertedTensors converted, convert_tensors(checkpoint, config));

  metadata.add_string("general.architecture", config.architecture);
  metadata.add_string("general.type", "model");
  metadata.add_string("general.name", name_of(folder));
  metadata.entries.insert(metadata.entries.end(), hyperparameters.entries.begin(),
                          hyperparameters.entries.end());
  std::vector<std::string> notes = std::move(config.notes);
  notes.insert(notes.end(), converted.notes.begin(), converted.notes.end());
  NIBBLE_TRY_VOID(convert_tokenizer(folder, JsonObject(config_path, json), converted.vocabulary,
                                    &metadata, &notes));
  return HfModel{GgufFile::assemble(folder, std::move(metadata.entries),
                                    std::move(converted.tensors), std::move(checkpoint.mappings)),
                 std::move(converted.changes), std::move(config.rope_divisors), std::move(notes)};
}

}  // namespace nibble::cli
