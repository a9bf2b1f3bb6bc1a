#include "tools/nibble/convert/checkpoint.h"

#include <filesystem>
#include <limits>
#include <set>

#include "runtime/file/concat.h"
#include "tools/nibble/convert/json_file.h"

namespace nibble::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr uint64_t kIndexBytesMax = 64 << 20;

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// What to say of a directory without safetensors.
Error no_weights(const std::string& folder) {
  std::error_code ignored;
  std::string other;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".gguf") || name.ends_with(".bin") || name.ends_with(".pth")) other = name;
  }
  const std::string hint =
      other.ends_with(".gguf") ? concat("; ", other, " in it is converted already")
      : other.empty()          ? "; give the directory of a model as Hugging Face has it"
                               : concat("; it holds PyTorch weights (", other,
                                        "), which are programs: download the safetensors files");
  return {ErrorCode::kNoInput,
          concat(folder, ": neither ", kSingle, " nor ", kIndex, " is in it", hint)};
}

Result<void> add_shard(const std::string& path, Checkpoint* checkpoint) {
  NIBBLE_TRY(SafetensorsFile file, read_safetensors(path));
  if (checkpoint->mappings.size() > std::numeric_limits<uint16_t>::max()) {
    return Error{ErrorCode::kData, concat(path, ": is one of more than 65536 shards")};
  }
  const auto shard = static_cast<uint16_t>(checkpoint->mappings.size());
  for (SafetensorsTensor& tensor : file.tensors) {
    const std::string name = tensor.name;
    if (!checkpoint->tensors.emplace(name, CheckpointTensor{std::move(tensor), shard}).second) {
      return Error{ErrorCode::kData,
                   concat(path, ": tensor ", nibble::quoted(name),
                          " is in another shard too; download all shards of one model again")};
    }
  }
  checkpoint->mappings.push_back(std::move(file.mapping));
  return {};
}

Result<void> add_shards(const std::string& index_path, Checkpoint* checkpoint) {
  NIBBLE_TRY(const Json json, read_json_object(index_path, kIndexBytesMax));
  NIBBLE_TRY(const auto map, JsonObject(index_path, json).object("weight_map"));
  if (!map) return JsonObject(index_path, json).error("weight_map", "is missing");
  std::set<std::string> shards;
  for (const auto& [name, file] : json["weight_map"].items()) {
    const std::string shard = file.is_string() ? file.get<std::string>() : std::string();
    if (!shard.ends_with(".safetensors") || shard.find('/') != std::string::npos) {
      return Error{ErrorCode::kData, concat(index_path, ": tensor ", nibble::quoted(name),
                                            " is said to be in ", nibble::quoted(file.dump()),
                                            ", which names no safetensors file beside it")};
    }
    shards.insert(shard);
  }
  for (const std::string& shard : shards) {
    NIBBLE_TRY_VOID(add_shard(concat(checkpoint->folder, "/", shard), checkpoint));
  }
  for (const auto& [name, file] : json["weight_map"].items()) {
    if (!checkpoint->tensors.contains(name)) {
      return Error{ErrorCode::kData,
                   concat(index_path, ": tensor ", nibble::quoted(name), " is not in its shard ",
                          nibble::quoted(file.dump()), "; download all shards of one model again")};
    }
  }
  return {};
}

}  // namespace

Result<Checkpoint> open_checkpoint(const std::string& folder) {
  Checkpoint checkpoint;
  checkpoint.folder = folder;
  const std::string index = concat(folder, "/", kIndex);
  const std::string single = concat(folder, "/", kSingle);
  if (exists(single)) {
    NIBBLE_TRY_VOID(add_shard(single, &checkpoint));
  } else if (exists(index)) {
    NIBBLE_TRY_VOID(add_shards(index, &checkpoint));
  } else {
    return no_weights(folder);
  }
  return checkpoint;
}

}  // namespace nibble::cli
