// Weights as kernels want them: matrices packed for the chosen kernel or used in place.
//
// A WeightLoader first collects what an architecture asks for (checking name, shape and type), then
// packs everything at once into one huge-page buffer, sharing the work among the team, and drops
// the source pages behind itself. Read next: simd/layout.h, model/architecture.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/gguf.h"
#include "runtime/machine/memory.h"
#include "runtime/machine/thread_team.h"
#include "runtime/ops/kernel_set.h"

namespace nibble {

// A matrix [n][k] in the layout of its kernel. A view: the model owns the memory.
struct PackedMatrix {
  const KernelEntry* kernel = nullptr;
  Format format = Format::kF32;
  size_t n = 0;
  size_t k = 0;
  const uint8_t* data = nullptr;
  size_t tile_bytes = 0;  // bytes of kernel->tile_n rows

  // Where row `row` starts; row is a multiple of kernel->tile_n.
  const uint8_t* at(size_t row) const { return data + row / kernel->tile_n * tile_bytes; }
  uint64_t bytes() const { return (n + kernel->tile_n - 1) / kernel->tile_n * tile_bytes; }
};

// Rows of a table in file order, read one by one (token embeddings).
struct RowTable {
  const KernelEntry* dequantize = nullptr;
  const uint8_t* data = nullptr;
  size_t row_bytes = 0;
  size_t n = 0;
  size_t k = 0;
};

// Called with the share done; false stops the work.
using WeightProgress = std::function<bool(double)>;

class WeightLoader {
 public:
  WeightLoader(const GgufFile& file, const KernelSet& kernels) : file_(file), kernels_(kernels) {}

  // All of these give an error (65) that names the tensor, what was expected and what was found.
  Result<void> matrix(const std::string& name, size_t n, size_t k, PackedMatrix* out);
  Result<void> vector(const std::string& name, size_t n, std::vector<float>* out);
  Result<void> optional_vector(const std::string& name, size_t n, std::vector<float>* out);
  Result<void> table(const std::string& name, size_t n, size_t k, RowTable* out);
  bool has(const std::string& name) const { return file_.tensor(name) != nullptr; }

  // Packs what was asked for. The pointers given to matrix() must still be valid. Errors: 71 no
  // memory; 65 a scale that is not finite (tensor, row and block); kInterrupted by `progress`.
  Result<Buffer> pack(ThreadTeam& team, const WeightProgress& progress);

  // Names of tensors in the file that nobody asked for.
  std::vector<std::string> unused() const;
  uint64_t in_place_bytes() const { return in_place_bytes_; }

 private:
  struct Pending {
    const GgufTensor* tensor;
    PackedMatrix* out;
    size_t offset;  // in the buffer
  };
  Result<const GgufTensor*> find(const std::string& name, const std::vector<uint64_t>& dims);
  Result<void> pack_one(const Pending& pending, uint8_t* base, ThreadTeam& team) const;

  const GgufFile& file_;
  const KernelSet& kernels_;
  std::vector<Pending> pending_;
  std::vector<const GgufTensor*> used_;
  size_t packed_bytes_ = 0;
  uint64_t in_place_bytes_ = 0;
};

}  // namespace nibble
