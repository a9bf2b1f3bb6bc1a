// Writes GGUF v3 files: first the metadata and the list of tensors, then their data in any order,
// from any thread, so that nothing large has to be held in memory.
//
//   GgufWriter writer;
//   writer.add_string("general.architecture", "llama");
//   const size_t norm = writer.add_tensor("output_norm.weight", Format::kF32, {64});
//   NIBBLE_TRY_VOID(writer.create("model.gguf"));
//   NIBBLE_TRY_VOID(writer.write(norm, 0, values, 64 * 4));
//   NIBBLE_TRY_VOID(writer.commit());
//
// The file appears at commit(), whole or not at all (atomic_file.h). Keys and tensor names must be
// distinct, shapes and ranges right: anything else is a bug of the caller.
// Source: the GGUF specification (ggml-org/ggml docs/gguf.md). Read next: gguf_writer.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/atomic_file.h"
#include "runtime/file/gguf.h"

namespace nibble {

class GgufWriter {
 public:
  // `alignment` of the tensors' data: a power of two from 8 to 2^20.
  explicit GgufWriter(uint32_t alignment = 32);

  // Any metadata value, as the reader gives it.
  void add(std::string_view key, const GgufValue& value);
  void add_uint32(std::string_view key, uint32_t value);
  void add_float32(std::string_view key, float value);
  void add_bool(std::string_view key, bool value);
  void add_string(std::string_view key, std::string_view value);
  void add_int32s(std::string_view key, std::span<const int32_t> values);
  void add_float32s(std::string_view key, std::span<const float> values);
  void add_strings(std::string_view key, std::span<const std::string> values);

  // Adds a tensor and gives its index; dims[0] is the row length, a multiple of the type's block.
  size_t add_tensor(std::string_view name, uint32_t type_id, const std::vector<uint64_t>& dims);
  size_t add_tensor(std::string_view name, Format format, const std::vector<uint64_t>& dims);
  uint64_t tensor_bytes(size_t tensor) const { return tensors_[tensor].bytes; }
  uint64_t data_bytes() const { return data_bytes_; }  // all tensors, padded

  // Writes the header and takes the disk space; nothing can be added afterwards. Errors: 73,
  // 77, 74.
  Result<void> create(const std::string& path);
  // Writes part of a tensor's data. Thread-safe for ranges that do not overlap. Error 74.
  Result<void> write(size_t tensor, uint64_t offset, const void* data, size_t bytes);
  // Ends the file; every tensor must have been written. Error 74.
  Result<void> commit();

 private:
  struct Tensor {
    uint64_t offset;  // from the start of the data
    uint64_t bytes;
  };
  void add_key(std::string_view key, GgufType type);

  uint32_t alignment_;
  std::string metadata_;  // as it will stand in the file
  std::string tensor_table_;
  uint64_t key_count_ = 0;
  std::vector<Tensor> tensors_;
  uint64_t data_start_ = 0;
  uint64_t data_bytes_ = 0;
  std::atomic<uint64_t> unwritten_bytes_{0};
  std::optional<AtomicFile> file_;
};

}  // namespace nibble
