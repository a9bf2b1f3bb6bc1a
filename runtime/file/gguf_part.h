// One GGUF file, read and checked: the whole of a model or one of its shards.
// Read next: gguf_part.cpp (header), gguf_tensors.cpp (tensor table), gguf_split.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/gguf.h"
#include "runtime/machine/memory.h"

namespace nibble {

class GgufCursor;

using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;

struct GgufPart {
  std::unique_ptr<Mapping> mapping;
  uint32_t version = 0;
  uint64_t alignment = 32;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;
};

// Maps and reads one file; the errors are those of GgufFile::open.
Result<GgufPart> read_gguf_part(const std::string& path);

// What a file is that does not start as a GGUF file, and what to do.
std::string explain_magic(const uint8_t* data, uint64_t size);

// Reads `count` entries of the tensor table at the cursor and checks names, types and shapes.
Result<std::vector<GgufTensor>> read_gguf_tensors(GgufCursor* cursor, uint64_t count);

// Checks where the tensors lie and sets their offsets from the file's start and their data. The
// cursor stands behind the tensor table; on entry the offsets count from the data's start.
Result<void> place_gguf_tensors(GgufCursor* cursor, uint64_t alignment, const Mapping& mapping,
                                std::vector<GgufTensor>* tensors);

// Indices of names in order of name, and the index of the first repeated name if there is one.
// Sorted, not hashed: no choice of names can make this slow.
struct NameOrder {
  std::vector<uint32_t> order;
  std::optional<uint32_t> repeated;
};
NameOrder order_names(const std::vector<std::string_view>& names);

}  // namespace nibble
