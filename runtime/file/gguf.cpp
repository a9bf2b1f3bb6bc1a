#include "runtime/file/gguf.h"

#include <algorithm>
#include <new>

#include "runtime/file/check.h"
#include "runtime/file/concat.h"
#include "runtime/file/gguf_part.h"
#include "runtime/file/gguf_split.h"
#include "runtime/machine/memory.h"
#include "simd/registry.h"

namespace nibble {
std::string_view gguf_type_name(GgufType type) {
  constexpr std::string_view kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                         "int32",  "float32", "bool",   "string", "array",
                                         "uint64", "int64",   "float64"};
  return kNames[static_cast<size_t>(type)];
}

Result<Format> supported_format(const GgufTensor& tensor) {
  const auto format = format_from_gguf(tensor.type_id);
  if (format && has_kernels(*format)) return *format;
  const std::string_view name = gguf_type_info(tensor.type_id).name;
  return Error{ErrorCode::kData,
               concat(tensor.name, ": type ", name.empty() ? std::to_string(tensor.type_id) : name,
                      " is not supported; use a Q4_0, Q8_0 or F16 file")};
}

GgufFile::GgufFile() = default;
GgufFile::GgufFile(GgufFile&&) noexcept = default;
GgufFile& GgufFile::operator=(GgufFile&&) noexcept = default;
GgufFile::~GgufFile() = default;

Result<GgufFile> GgufFile::open(const std::string& path) try {
  NIBBLE_TRY(GgufPart first, read_gguf_part(path));
  NIBBLE_TRY(std::vector<GgufPart> parts, read_gguf_shards(path, std::move(first)));
  GgufFile file;
  file.path_ = path;
  file.version_ = parts[0].version;
  file.alignment_ = parts[0].alignment;
  file.metadata_ = std::move(parts[0].metadata);
  for (GgufPart& part : parts) {
    file.file_bytes_ += part.mapping->size();
    file.mappings_.push_back(std::move(part.mapping));
    std::move(part.tensors.begin(), part.tensors.end(), std::back_inserter(file.tensors_));
  }

  if (const std::optional<uint32_t> repeated = file.index_names()) {
    const GgufTensor& tensor = file.tensors_[*repeated];
    return Error{ErrorCode::kData,
                 concat(path, ": tensor ", quoted(tensor.name), " is in part ", tensor.shard + 1,
                        " again; download all parts of one model again")};
  }
  NIBBLE_TRY_VOID(file.check_read());
  return file;
} catch (const std::bad_alloc&) {
  return Error{ErrorCode::kOs, path + ": not enough memory to read the file's header"};
}

GgufFile GgufFile::assemble(std::string path,
                            std::vector<std::pair<std::string, GgufValue>> metadata,
                            std::vector<GgufTensor> tensors,
                            std::vector<std::unique_ptr<Mapping>> mappings) {
  GgufFile file;
  file.path_ = std::move(path);
  file.metadata_ = std::move(metadata);
  file.tensors_ = std::move(tensors);
  file.mappings_ = std::move(mappings);
  for (const auto& mapping : file.mappings_) file.file_bytes_ += mapping->size();
  NIBBLE_CHECK(!file.index_names());
  return file;
}

std::optional<uint32_t> GgufFile::index_names() {
  std::vector<std::string_view> names;
  for (const auto& [key, value] : metadata_) names.push_back(key);
  key_order_ = order_names(names).order;
  names.clear();
  for (const GgufTensor& tensor : tensors_) names.push_back(tensor.name);
  NameOrder order = order_names(names);
  tensor_order_ = std::move(order.order);
  return order.repeated;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto at = std::lower_bound(
      key_order_.begin(), key_order_.end(), key,
      [&](uint32_t index, std::string_view wanted) { return metadata_[index].first < wanted; });
  if (at == key_order_.end() || metadata_[*at].first != key) return nullptr;
  return &metadata_[*at].second;
}

const GgufTensor* GgufFile::tensor(std::string_view name) const {
  const auto at = std::lower_bound(
      tensor_order_.begin(), tensor_order_.end(), name,
      [&](uint32_t index, std::string_view wanted) { return tensors_[index].name < wanted; });
  if (at == tensor_order_.end() || tensors_[*at].name != name) return nullptr;
  return &tensors_[*at];
}

Error GgufFile::wrong_type(std::string_view key, std::string_view wanted) const {
  const GgufValue& value = *find(key);
  const auto* number = std::get_if<int64_t>(&value.data);
  return {ErrorCode::kData,
          concat(path_, ": key ", quoted(key), ": has type ", gguf_type_name(value.type),
                 number != nullptr ? concat(" (", *number, ")") : "", ", must be ", wanted,
                 "; download another file of this model")};
}

Error GgufFile::missing(std::string_view key) const {
  return {ErrorCode::kData,
          concat(path_, ": key ", quoted(key), " is missing; download another file of this model")};
}

Result<uint64_t> GgufFile::get_uint(std::string_view key, std::optional<uint64_t> fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return fallback ? Result<uint64_t>(*fallback) : missing(key);
  if (const auto* number = std::get_if<uint64_t>(&value->data)) return *number;
  const auto* number = std::get_if<int64_t>(&value->data);
  if (number != nullptr && *number >= 0) return static_cast<uint64_t>(*number);
  return wrong_type(key, "a whole number, 0 or more");
}

Result<double> GgufFile::get_float(std::string_view key, std::optional<double> fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return fallback ? Result<double>(*fallback) : missing(key);
  if (const auto* number = std::get_if<double>(&value->data)) return *number;
  return wrong_type(key, "a float32 or float64");
}

Result<bool> GgufFile::get_bool(std::string_view key, std::optional<bool> fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return fallback ? Result<bool>(*fallback) : missing(key);
  if (const auto* truth = std::get_if<bool>(&value->data)) return *truth;
  return wrong_type(key, "a bool");
}

Result<std::string> GgufFile::get_string(std::string_view key,
                                         std::optional<std::string> fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return fallback ? Result<std::string>(*std::move(fallback)) : missing(key);
  if (const auto* text = std::get_if<std::string>(&value->data)) return *text;
  return wrong_type(key, "a string");
}

Result<const GgufArray*> GgufFile::get_array(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  if (const auto* array = std::get_if<GgufArray>(&value->data)) return array;
  return wrong_type(key, "an array");
}

bool GgufFile::is_input(const std::string& path) const {
  return std::any_of(mappings_.begin(), mappings_.end(),
                     [&](const auto& mapping) { return mapping->is_file(path); });
}

Result<void> GgufFile::check_read() const {
  for (const auto& mapping : mappings_) {
    if (const std::optional<uint64_t> lost = mapping->lost()) {
      return Error{ErrorCode::kIo, concat(path_, ": could not be read at byte ", *lost,
                                          ": it was cut short or its disk failed while in use; put "
                                          "the file back and load it again")};
    }
  }
  return {};
}

void GgufFile::release_pages(const GgufTensor& tensor) const {
  mappings_[tensor.shard]->drop(tensor.offset, tensor.bytes);
}

void GgufFile::release_pages(const uint8_t* data, uint64_t bytes) const {
  for (const auto& mapping : mappings_) {
    const auto begin = reinterpret_cast<uintptr_t>(mapping->data());
    const auto at = reinterpret_cast<uintptr_t>(data);
    if (at >= begin && at - begin < mapping->size()) mapping->drop(at - begin, bytes);
  }
}

}  // namespace nibble
