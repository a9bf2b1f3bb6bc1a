// Reads GGUF v2 and v3 files over a memory mapping, split files too.
//
// Everything that comes from the file is checked before it is used: counts against the bytes left,
// products and sums for overflow, types, alignment, offsets, overlaps. Header bytes are copied once
// and never read again from the mapping. Source: the GGUF specification (ggml-org/ggml
// docs/gguf.md). Thread-safe after open(). Read next: gguf_writer.h, model/architecture.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nibble/result.h"
#include "simd/format.h"

namespace nibble {

class Mapping;  // machine/memory.h

// Type ids of metadata values, as in the specification.
enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// "uint8", "string", ... as the specification writes them.
std::string_view gguf_type_name(GgufType type);

// An array: numbers widened to 64 bits, or strings. Only one member is filled, by element type.
struct GgufArray {
  GgufType type = GgufType::kUint8;
  std::vector<uint64_t> uints;  // unsigned and bool
  std::vector<int64_t> ints;    // signed
  std::vector<double> floats;
  std::vector<std::string> strings;
  size_t size() const { return uints.size() + ints.size() + floats.size() + strings.size(); }
};

struct GgufValue {
  GgufType type = GgufType::kUint8;
  std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray> data;
};

struct GgufTensor {
  std::string name;
  uint32_t type_id = 0;        // ggml_type; format.h tells whether it is supported
  std::vector<uint64_t> dims;  // dims[0] is the row length k, as the file orders them
  uint64_t offset = 0;         // from the start of its file
  uint64_t bytes = 0;
  uint16_t shard = 0;             // which of the split files
  const uint8_t* data = nullptr;  // into the mapping; checked to hold `bytes`
  uint64_t rows() const {         // product of all dims but the first
    uint64_t n = 1;
    for (size_t i = 1; i < dims.size(); ++i) n *= dims[i];
    return n;
  }
};

// The format of a tensor's weights, or error 65: "blk.3.ffn_up.weight: type IQ1_S is not
// supported; use a Q4_0, Q8_0 or F16 file".
Result<Format> supported_format(const GgufTensor& tensor);

class GgufFile {
 public:
  // Opens a file, and the other shards if it is one of a split file (NAME-00001-of-0000N.gguf, the
  // first must be given). Errors: 66 missing, a directory, a device; 65 not a valid file; the
  // message names the file, the key or tensor, the byte offset, what was found and what to do.
  static Result<GgufFile> open(const std::string& path);

  // A model that comes from other files, as if it were one GGUF file. Keys and names must be
  // distinct, and each tensor's data lie in a mapping or outlive the object.
  static GgufFile assemble(std::string path,
                           std::vector<std::pair<std::string, GgufValue>> metadata,
                           std::vector<GgufTensor> tensors,
                           std::vector<std::unique_ptr<Mapping>> mappings);

  GgufFile(GgufFile&&) noexcept;
  GgufFile& operator=(GgufFile&&) noexcept;
  ~GgufFile();

  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }
  uint64_t file_bytes() const { return file_bytes_; }  // all shards
  uint64_t alignment() const { return alignment_; }

  // Metadata in file order.
  const std::vector<std::pair<std::string, GgufValue>>& metadata() const { return metadata_; }
  const GgufValue* find(std::string_view key) const;

  // Typed access. A missing key gives `fallback` where there is one, else an error (65) naming the
  // key; a value of another kind or out of range is an error in both cases.
  Result<uint64_t> get_uint(std::string_view key, std::optional<uint64_t> fallback = {}) const;
  Result<double> get_float(std::string_view key, std::optional<double> fallback = {}) const;
  Result<bool> get_bool(std::string_view key, std::optional<bool> fallback = {}) const;
  Result<std::string> get_string(std::string_view key,
                                 std::optional<std::string> fallback = {}) const;
  // Null when missing; an error when it is not an array.
  Result<const GgufArray*> get_array(std::string_view key) const;

  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  // The files, in order.
  const std::vector<std::unique_ptr<Mapping>>& mappings() const { return mappings_; }
  const GgufTensor* tensor(std::string_view name) const;

  // Whether `path` names one of the mapped files, by whatever link: writing it would lose them.
  bool is_input(const std::string& path) const;

  // Error 74 when a page of the files could not be read: what was read of it are zeros. To be asked
  // behind every use of tensors' data and before its result is given away. Any thread; costs
  // nothing.
  Result<void> check_read() const;

  // Tells the system that [data, data + bytes) is not needed any more (its pages are dropped from
  // this process; the file stays in the page cache). For weights that were packed elsewhere.
  void release_pages(const GgufTensor& tensor) const;
  // The same for a part of a tensor's data; any other memory is left alone.
  void release_pages(const uint8_t* data, uint64_t bytes) const;

 private:
  GgufFile();
  // Makes find() and tensor() ready; the index of a tensor whose name an earlier one has.
  std::optional<uint32_t> index_names();
  Error missing(std::string_view key) const;
  Error wrong_type(std::string_view key, std::string_view wanted) const;

  std::string path_;
  uint32_t version_ = 0;
  uint64_t file_bytes_ = 0;
  uint64_t alignment_ = 32;
  std::vector<std::pair<std::string, GgufValue>> metadata_;
  std::vector<uint32_t> key_order_;  // indices of metadata_ in order of key
  std::vector<GgufTensor> tensors_;
  std::vector<uint32_t> tensor_order_;  // indices of tensors_ in order of name
  std::vector<std::unique_ptr<Mapping>> mappings_;
};

}  // namespace nibble
