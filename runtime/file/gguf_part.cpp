// Reads the header of one GGUF file: magic, version, counts and metadata.
// Read next: gguf_tensors.cpp.
#include "runtime/file/gguf_part.h"

#include <algorithm>
#include <numeric>

#include "runtime/file/concat.h"
#include "runtime/file/gguf_cursor.h"

namespace nibble {
namespace {

constexpr uint64_t kLongestKey = 65535;  // the specification's limit
// A key is at least a length, one byte, a type and one byte of value; a tensor at least a length,
// one byte, the number of dimensions, one dimension, a type and an offset.
constexpr uint64_t kLeastKeyBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kLeastTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

Result<uint32_t> read_version(GgufCursor* cursor) {
  NIBBLE_TRY(const uint32_t version, cursor->read<uint32_t>());
  if (version == 2 || version == 3) return version;
  if (version == 1) {
    return cursor->error(
        "GGUF version 1 (of August 2023) is no longer in use; download a newer "
        "GGUF file of this model");
  }
  if (version != 0 && (version & 0xffff) == 0) {
    return cursor->error("this is a big-endian GGUF file; download the little-endian (usual) one");
  }
  return cursor->error(concat("GGUF version ", version,
                              " at byte 4 is not known; versions 2 and 3 are; update nibble or "
                              "download another file of this model"));
}

Result<bool> read_bool(GgufCursor* cursor) {
  NIBBLE_TRY(const uint8_t byte, cursor->read<uint8_t>());
  if (byte <= 1) return byte == 1;
  return cursor->error(concat("a truth value of ", int{byte}, " at byte ", cursor->position() - 1,
                              "; only 0 and 1 are; the file is damaged, download it again"));
}

// Reads `count` numbers stored as T into a vector of the wide type.
template <typename T, typename Wide>
Result<void> read_numbers(GgufCursor* cursor, uint64_t count, std::vector<Wide>* out) {
  NIBBLE_TRY_VOID(cursor->need(count, sizeof(T)));
  NIBBLE_TRY_VOID(cursor->charge(count, sizeof(Wide)));
  out->reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<T, bool>) {
      NIBBLE_TRY(const bool value, read_bool(cursor));
      out->push_back(value);
    } else {
      NIBBLE_TRY(const T value, cursor->read<T>());
      out->push_back(value);
    }
  }
  return {};
}

Result<void> read_strings(GgufCursor* cursor, uint64_t count, std::vector<std::string>* out) {
  NIBBLE_TRY_VOID(cursor->need(count, sizeof(uint64_t)));
  NIBBLE_TRY_VOID(cursor->charge(count, sizeof(std::string)));
  out->reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    NIBBLE_TRY(std::string text, cursor->read_string());
    out->push_back(std::move(text));
  }
  return {};
}

Error unknown_type(const GgufCursor& cursor, uint32_t type) {
  return cursor.error(concat("type ", type, " at byte ", cursor.position() - sizeof(type),
                             " is not one of GGUF's (0 to 12); the file is damaged, or made for a "
                             "newer nibble"));
}

Result<void> read_items(GgufCursor* cursor, uint64_t count, GgufArray* array) {
  switch (array->type) {
    case GgufType::kUint8:
      return read_numbers<uint8_t>(cursor, count, &array->uints);
    case GgufType::kUint16:
      return read_numbers<uint16_t>(cursor, count, &array->uints);
    case GgufType::kUint32:
      return read_numbers<uint32_t>(cursor, count, &array->uints);
    case GgufType::kUint64:
      return read_numbers<uint64_t>(cursor, count, &array->uints);
    case GgufType::kBool:
      return read_numbers<bool>(cursor, count, &array->uints);
    case GgufType::kInt8:
      return read_numbers<int8_t>(cursor, count, &array->ints);
    case GgufType::kInt16:
      return read_numbers<int16_t>(cursor, count, &array->ints);
    case GgufType::kInt32:
      return read_numbers<int32_t>(cursor, count, &array->ints);
    case GgufType::kInt64:
      return read_numbers<int64_t>(cursor, count, &array->ints);
    case GgufType::kFloat32:
      return read_numbers<float>(cursor, count, &array->floats);
    case GgufType::kFloat64:
      return read_numbers<double>(cursor, count, &array->floats);
    case GgufType::kString:
      return read_strings(cursor, count, &array->strings);
    case GgufType::kArray:
      break;
  }
  return cursor->error("an array of arrays, which no model needs; the file is damaged");
}

Result<GgufArray> read_array(GgufCursor* cursor) {
  GgufArray array;
  NIBBLE_TRY(const uint32_t type, cursor->read<uint32_t>());
  if (type > static_cast<uint32_t>(GgufType::kFloat64)) return unknown_type(*cursor, type);
  array.type = static_cast<GgufType>(type);
  NIBBLE_TRY(const uint64_t count, cursor->read<uint64_t>());
  NIBBLE_TRY_VOID(read_items(cursor, count, &array));
  return array;
}

// Reads a number stored as T into the wide alternative of GgufValue.
template <typename T, typename Wide>
Result<void> read_number(GgufCursor* cursor, GgufValue* value) {
  NIBBLE_TRY(const T number, cursor->read<T>());
  value->data = Wide{number};
  return {};
}

Result<void> read_value(GgufCursor* cursor, GgufValue* value) {
  NIBBLE_TRY(const uint32_t type, cursor->read<uint32_t>());
  value->type = static_cast<GgufType>(type);
  switch (value->type) {
    case GgufType::kUint8:
      return read_number<uint8_t, uint64_t>(cursor, value);
    case GgufType::kUint16:
      return read_number<uint16_t, uint64_t>(cursor, value);
    case GgufType::kUint32:
      return read_number<uint32_t, uint64_t>(cursor, value);
    case GgufType::kUint64:
      return read_number<uint64_t, uint64_t>(cursor, value);
    case GgufType::kInt8:
      return read_number<int8_t, int64_t>(cursor, value);
    case GgufType::kInt16:
      return read_number<int16_t, int64_t>(cursor, value);
    case GgufType::kInt32:
      return read_number<int32_t, int64_t>(cursor, value);
    case GgufType::kInt64:
      return read_number<int64_t, int64_t>(cursor, value);
    case GgufType::kFloat32:
      return read_number<float, double>(cursor, value);
    case GgufType::kFloat64:
      return read_number<double, double>(cursor, value);
    case GgufType::kBool: {
      NIBBLE_TRY(value->data, read_bool(cursor));
      return {};
    }
    case GgufType::kString: {
      NIBBLE_TRY(value->data, cursor->read_string());
      return {};
    }
    case GgufType::kArray: {
      NIBBLE_TRY(value->data, read_array(cursor));
      return {};
    }
  }
  return unknown_type(*cursor, type);
}

Result<void> read_entries(GgufCursor* cursor, uint64_t count, GgufMetadata* metadata) {
  NIBBLE_TRY_VOID(cursor->need(count, kLeastKeyBytes));
  for (uint64_t i = 0; i < count; ++i) {
    cursor->set_context(concat("key ", i, " of ", count));
    NIBBLE_TRY_VOID(cursor->charge(1, kGgufIndexBytes + 2 * sizeof(*metadata->data())));
    NIBBLE_TRY(std::string key, cursor->read_string(kLongestKey));
    if (key.empty()) return cursor->error("an empty name; the file is damaged, download it again");
    cursor->set_context(concat("key ", quoted(key)));
    metadata->emplace_back(std::move(key), GgufValue{});
    NIBBLE_TRY_VOID(read_value(cursor, &metadata->back().second));
  }
  return {};
}

Result<void> read_metadata(GgufCursor* cursor, uint64_t count, GgufMetadata* metadata) {
  Result<void> result = read_entries(cursor, count, metadata);
  // Looked at first: repeated keys may be why the rest failed.
  std::vector<std::string_view> keys;
  for (const auto& [key, value] : *metadata) keys.push_back(key);
  if (const auto repeated = order_names(keys).repeated) {
    cursor->set_context(concat("key ", quoted(keys[*repeated])));
    return cursor->error(concat("is there twice (entry ", *repeated, " of ", count,
                                "); the file is damaged or was made to mislead"));
  }
  return result;
}

Result<uint64_t> read_alignment(const GgufCursor& cursor, const GgufMetadata& metadata) {
  constexpr uint64_t kDefault = 32, kLeast = 8, kMost = uint64_t{1} << 20;
  for (const auto& [key, value] : metadata) {
    if (key != "general.alignment") continue;
    if (value.type != GgufType::kUint32) {
      return cursor.error(concat("key 'general.alignment' has type ", gguf_type_name(value.type),
                                 ", must be uint32; "
                                 "download another file of this model"));
    }
    const uint64_t alignment = std::get<uint64_t>(value.data);
    if (!std::has_single_bit(alignment) || alignment < kLeast || alignment > kMost) {
      return cursor.error(concat("key 'general.alignment' is ", alignment,
                                 ", must be a power of two from ", kLeast, " to ", kMost));
    }
    return alignment;
  }
  return kDefault;
}

}  // namespace

NameOrder order_names(const std::vector<std::string_view>& names) {
  NameOrder result;
  result.order.resize(names.size());
  std::iota(result.order.begin(), result.order.end(), 0);
  const auto less = [&](uint32_t a, uint32_t b) {
    return names[a] != names[b] ? names[a] < names[b] : a < b;
  };
  std::sort(result.order.begin(), result.order.end(), less);
  for (size_t i = 1; i < result.order.size(); ++i) {
    const uint32_t index = result.order[i];
    if (names[result.order[i - 1]] != names[index]) continue;
    result.repeated = std::min(index, result.repeated.value_or(index));
  }
  return result;
}

Result<GgufPart> read_gguf_part(const std::string& path) {
  Result<Mapping> mapping = Mapping::open(path);
  if (!mapping) {
    Error error = std::move(mapping).error();
    if (error.code == ErrorCode::kData) error.code = ErrorCode::kNoInput;  // an empty file
    return error;
  }
  GgufPart part;
  part.mapping = std::make_unique<Mapping>(std::move(*mapping));
  GgufCursor cursor(path, part.mapping->data(), part.mapping->size());

  NIBBLE_TRY(const uint32_t magic, cursor.read<uint32_t>());
  constexpr uint32_t kMagic = 'G' | 'G' << 8 | 'U' << 16 | 'F' << 24;
  if (magic != kMagic) {
    return Error{ErrorCode::kData,
                 path + ": " + explain_magic(part.mapping->data(), part.mapping->size())};
  }
  NIBBLE_TRY(part.version, read_version(&cursor));
  NIBBLE_TRY(const uint64_t tensor_count, cursor.read<uint64_t>());
  NIBBLE_TRY(const uint64_t key_count, cursor.read<uint64_t>());
  NIBBLE_TRY_VOID(read_metadata(&cursor, key_count, &part.metadata));
  cursor.set_context("the header");
  NIBBLE_TRY(part.alignment, read_alignment(cursor, part.metadata));
  NIBBLE_TRY_VOID(cursor.need(tensor_count, kLeastTensorBytes));
  NIBBLE_TRY(part.tensors, read_gguf_tensors(&cursor, tensor_count));
  NIBBLE_TRY_VOID(place_gguf_tensors(&cursor, part.alignment, *part.mapping, &part.tensors));
  return part;
}

}  // namespace nibble
