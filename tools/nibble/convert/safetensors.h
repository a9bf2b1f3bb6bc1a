// Reads safetensors files over a memory mapping: a length, a JSON header, then the tensors' data.
//
// Everything is checked before it is used: the header's length, names that come twice, shapes whose
// product overflows, offsets that overlap, leave holes or leave the file. Source: the format's
// description (huggingface/safetensors README). Read next: checkpoint.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "runtime/machine/memory.h"

namespace nibble::cli {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;            // "BF16", as the file writes it
  std::vector<uint64_t> shape;  // the last is the row length
  uint64_t offset = 0;          // from the start of the file
  uint64_t bytes = 0;
  const uint8_t* data = nullptr;  // into the mapping, of any alignment
};

struct SafetensorsFile {
  std::unique_ptr<Mapping> mapping;
  std::vector<SafetensorsTensor> tensors;  // in order of offset
};

// Errors: 66 missing, a directory, a device; 65 not a valid file.
Result<SafetensorsFile> read_safetensors(const std::string& path);

// "[2, 3]"
std::string shape_text(const std::vector<uint64_t>& shape);

}  // namespace nibble::cli
