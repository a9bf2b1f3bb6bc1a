// Reads and checks the tensor table of a GGUF file: names, types, shapes, and where the data lies.
// Read next: gguf_split.cpp.
#include <algorithm>
#include <numeric>

#include "runtime/file/check.h"
#include "runtime/file/concat.h"
#include "runtime/file/gguf_cursor.h"
#include "runtime/file/gguf_part.h"

namespace nibble {
namespace {

constexpr uint64_t kLongestName = 65535;
constexpr uint32_t kMostDims = 4;

constexpr std::string_view kDamaged = "; the file is damaged, download it again";

std::string shape_text(const std::vector<uint64_t>& dims) {
  std::string text = "[";
  for (const uint64_t dim : dims) text += concat(text.size() > 1 ? ", " : "", dim);
  return text + "]";
}

Result<void> read_dims(GgufCursor* cursor, std::vector<uint64_t>* dims) {
  NIBBLE_TRY(const uint32_t count, cursor->read<uint32_t>());
  if (count < 1 || count > kMostDims) {
    return cursor->error(concat(count, " dimensions at byte ", cursor->position() - sizeof(count),
                                ", must be 1 to ", kMostDims, kDamaged));
  }
  dims->reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    NIBBLE_TRY(const uint64_t dim, cursor->read<uint64_t>());
    dims->push_back(dim);
    if (dim == 0) {
      return cursor->error(concat("dimension ", i, " at byte ", cursor->position() - sizeof(dim),
                                  " is 0", kDamaged));
    }
  }
  return {};
}

// Bytes of a tensor of this type and shape.
Result<uint64_t> tensor_bytes(const GgufCursor& cursor, uint32_t type_id,
                              const std::vector<uint64_t>& dims) {
  const GgufTypeInfo type = gguf_type_info(type_id);
  if (type.name.empty()) {
    return cursor.error(concat("type ", type_id,
                               " is not known; the file is damaged or made for "
                               "a newer nibble; use a Q4_0, Q8_0 or F16 file"));
  }
  if (type.removed) {
    const std::string_view instead = type.name.starts_with("IQ4_NL") ? "IQ4_NL" : "Q4_0";
    return cursor.error(
        concat("type ", type.name, " is no longer in use; download the ", instead,
               " file of this model, which is arranged for the CPU while it loads"));
  }
  if (dims[0] % type.block != 0) {
    return cursor.error(concat("rows of ", dims[0], " elements, but type ", type.name,
                               " comes in blocks of ", type.block, kDamaged));
  }
  std::optional<uint64_t> elements = 1;
  for (const uint64_t dim : dims) {
    elements = checked_mul(*elements, dim);
    if (!elements || *elements > INT64_MAX) break;
  }
  const auto bytes = elements && *elements <= INT64_MAX
                         ? checked_mul(*elements / type.block, type.block_bytes)
                         : std::nullopt;
  if (!bytes || *bytes > INT64_MAX) {
    return cursor.error(
        concat("shape ", shape_text(dims), " has more than 2^63 elements or bytes", kDamaged));
  }
  return *bytes;
}

Result<void> read_entries(GgufCursor* cursor, uint64_t count, std::vector<GgufTensor>* tensors) {
  for (uint64_t i = 0; i < count; ++i) {
    cursor->set_context(concat("tensor ", i, " of ", count));
    constexpr uint64_t kDimsBlock = 48;
    NIBBLE_TRY_VOID(cursor->charge(1, kGgufIndexBytes + 2 * sizeof(GgufTensor) + kDimsBlock));
    GgufTensor tensor;
    NIBBLE_TRY(tensor.name, cursor->read_string(kLongestName));
    if (tensor.name.empty()) return cursor->error(concat("an empty name", kDamaged));
    cursor->set_context(concat("tensor ", quoted(tensor.name)));
    NIBBLE_TRY_VOID(read_dims(cursor, &tensor.dims));
    NIBBLE_TRY(tensor.type_id, cursor->read<uint32_t>());
    NIBBLE_TRY(tensor.offset, cursor->read<uint64_t>());
    NIBBLE_TRY(tensor.bytes, tensor_bytes(*cursor, tensor.type_id, tensor.dims));
    tensors->push_back(std::move(tensor));
  }
  return {};
}

// a rounded up to a multiple of a power of two; nothing when it does not fit.
std::optional<uint64_t> round_up(uint64_t a, uint64_t alignment) {
  const auto sum = checked_add(a, alignment - 1);
  if (!sum) return std::nullopt;
  return *sum & ~(alignment - 1);
}

// Error when two tensors share bytes.
Result<void> check_apart(GgufCursor* cursor, const std::vector<GgufTensor>& tensors) {
  std::vector<uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return tensors[a].offset < tensors[b].offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = tensors[order[i - 1]];
    const GgufTensor& tensor = tensors[order[i]];
    if (before.offset + before.bytes <= tensor.offset) continue;
    cursor->set_context(concat("tensor ", quoted(tensor.name)));
    return cursor->error(concat("starts at byte ", tensor.offset, " inside tensor ",
                                quoted(before.name), ", which ends at byte ",
                                before.offset + before.bytes, kDamaged));
  }
  return {};
}

}  // namespace

Result<std::vector<GgufTensor>> read_gguf_tensors(GgufCursor* cursor, uint64_t count) {
  std::vector<GgufTensor> tensors;
  Result<void> result = read_entries(cursor, count, &tensors);
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const GgufTensor& tensor : tensors) names.push_back(tensor.name);
  if (const auto repeated = order_names(names).repeated) {
    cursor->set_context(concat("tensor ", quoted(names[*repeated])));
    return cursor->error(concat("is there twice (entry ", *repeated, " of ", count,
                                "); the file is damaged or was made to mislead"));
  }
  if (!result) return std::move(result).error();
  return tensors;
}

Result<void> place_gguf_tensors(GgufCursor* cursor, uint64_t alignment, const Mapping& mapping,
                                std::vector<GgufTensor>* tensors) {
  if (tensors->empty()) return {};
  // All tensors one after the other, each padded: no offset can be larger than that.
  std::optional<uint64_t> total = 0;
  for (const GgufTensor& tensor : *tensors) {
    const auto padded = round_up(tensor.bytes, alignment);
    total = total && padded ? checked_add(*total, *padded) : std::nullopt;
  }
  const uint64_t start = *round_up(cursor->position(), alignment);  // fits: a file's size does
  uint64_t end = 0;
  const GgufTensor* last = &tensors->front();
  for (GgufTensor& tensor : *tensors) {
    cursor->set_context(concat("tensor ", quoted(tensor.name)));
    if (tensor.offset % alignment != 0) {
      return cursor->error(concat("offset ", tensor.offset, " is not a multiple of the alignment ",
                                  alignment, kDamaged));
    }
    const auto offset = checked_add(start, tensor.offset);
    const auto tensor_end = offset ? checked_add(*offset, tensor.bytes) : std::nullopt;
    if (!total || !tensor_end || tensor.offset > *total) {
      return cursor->error(concat("offset ", tensor.offset, " and size ", tensor.bytes,
                                  " lie outside the file (", cursor->size(), " bytes)", kDamaged));
    }
    tensor.offset = *offset;
    if (*tensor_end > end) {
      end = *tensor_end;
      last = &tensor;
    }
  }
  cursor->set_context(concat("tensor ", quoted(last->name)));
  if (end > cursor->size()) {
    return cursor->error(concat("the file needs ", end, " bytes, has ", cursor->size(),
                                "; the download is incomplete, download it again"));
  }

  NIBBLE_TRY_VOID(check_apart(cursor, *tensors));
  for (GgufTensor& tensor : *tensors) tensor.data = mapping.data() + tensor.offset;
  return {};
}

}  // namespace nibble
