#include "runtime/file/gguf_split.h"

#include <cstdio>

#include "runtime/file/concat.h"

namespace nibble {
namespace {

constexpr std::string_view kCount = "split.count";
constexpr std::string_view kNumber = "split.no";
constexpr std::string_view kTensors = "split.tensors.count";

// "-00002-of-00003.gguf"
std::string shard_suffix(uint64_t index, uint64_t count) {
  char text[64];
  std::snprintf(text, sizeof(text), "-%05u-of-%05u.gguf", static_cast<unsigned>(index + 1),
                static_cast<unsigned>(count));
  return text;
}

// A whole number among the split keys (writers differ in its type), or nothing when missing.
Result<std::optional<uint64_t>> split_number(const std::string& path, const GgufPart& part,
                                             std::string_view name) {
  for (const auto& [key, value] : part.metadata) {
    if (key != name) continue;
    if (const auto* number = std::get_if<uint64_t>(&value.data)) return std::optional(*number);
    const auto* number = std::get_if<int64_t>(&value.data);
    if (number != nullptr && *number >= 0) return std::optional<uint64_t>(*number);
    return Error{ErrorCode::kData, concat(path, ": key ", quoted(name),
                                          ": must be a whole number; download the file again")};
  }
  return std::optional<uint64_t>();
}

Result<void> check_shard(const std::string& path, const GgufPart& part, uint64_t index,
                         uint64_t count) {
  NIBBLE_TRY(const auto found_count, split_number(path, part, kCount));
  NIBBLE_TRY(const auto found_index, split_number(path, part, kNumber));
  if (found_count == count && found_index == index) return {};
  const std::string found = found_count && found_index
                                ? concat("part ", *found_index + 1, " of ", *found_count)
                                : std::string("not part of a split model");
  return Error{ErrorCode::kData,
               concat(path, ": is ", found, " by its metadata, expected part ", index + 1, " of ",
                      count, "; download all parts of one model again")};
}

}  // namespace

Result<std::vector<GgufPart>> read_gguf_shards(const std::string& path, GgufPart first) {
  constexpr uint64_t kMostShards = 65535;  // split.count is a uint16
  NIBBLE_TRY(const auto count, split_number(path, first, kCount));
  NIBBLE_TRY(const auto expected_tensors, split_number(path, first, kTensors));
  NIBBLE_TRY(const auto index, split_number(path, first, kNumber));
  std::vector<GgufPart> parts;
  parts.push_back(std::move(first));
  if (count.value_or(1) <= 1) return parts;
  if (*count > kMostShards) {
    return Error{ErrorCode::kData, concat(path, ": key 'split.count' is ", *count, ", at most ",
                                          kMostShards, " parts are possible")};
  }
  if (index != 0) {
    return Error{ErrorCode::kData,
                 concat(path, ": is one of ", *count, " parts of a model, not the first; open the ",
                        "one whose name ends in ", shard_suffix(0, *count))};
  }
  if (!path.ends_with(shard_suffix(0, *count))) {
    return Error{ErrorCode::kData,
                 concat(path, ": is the first of ", *count, " parts of a model; its name must end ",
                        "in ", shard_suffix(0, *count), " for the others to be found")};
  }
  const std::string base = path.substr(0, path.size() - shard_suffix(0, *count).size());
  uint64_t tensors = parts[0].tensors.size();
  for (uint64_t i = 1; i < *count; ++i) {
    const std::string shard_path = base + shard_suffix(i, *count);
    Result<GgufPart> part = read_gguf_part(shard_path);
    if (!part && part.error().code == ErrorCode::kNoInput) {
      return Error{ErrorCode::kNoInput,
                   concat(part.error().message, "; this is part ", i + 1, " of the ", *count,
                          " of ", path, ": download it into the same folder")};
    }
    if (!part) return std::move(part).error();
    NIBBLE_TRY_VOID(check_shard(shard_path, *part, i, *count));
    for (GgufTensor& tensor : part->tensors) tensor.shard = static_cast<uint16_t>(i);
    tensors += part->tensors.size();
    parts.push_back(std::move(*part));
  }
  if (expected_tensors && *expected_tensors != tensors) {
    return Error{
        ErrorCode::kData,
        concat(path, ": key 'split.tensors.count' is ", *expected_tensors, ", but the ", *count,
               " parts hold ", tensors, " tensors; download all parts of one model again")};
  }
  return parts;
}

}  // namespace nibble
