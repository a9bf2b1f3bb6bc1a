// Weights as kernels want them: matrices packed for the chosen kernel or used in place.
//
// A WeightLoader first collects what an architecture asks for (checking name, shape and type), then
// packs everything at once into one huge-page buffer, sharing the work among the team, and drops
// the source pages behind itself. On a machine with several memory nodes each node's workers pack
// the rows that they will read, into memory of their node. What was collected says how much memory
// that will be (memory_plan.h).
// Read next: simd/layout.h, model/architecture.h, machine/node_arena.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/gguf.h"
#include "runtime/machine/node_arena.h"
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
  size_t tile_bytes = 0;               // bytes of kernel->tile_n rows
  const GgufTensor* source = nullptr;  // in the file it was packed from
  size_t source_row = 0;               // its first row there
  // The rows of each memory node where there are several, in order; else all rows are at `data`.
  struct Slice {
    size_t begin;
    size_t end;
    const uint8_t* data;
  };
  std::vector<Slice> slices = {};

  // Where row `row` starts; row is a multiple of kernel->tile_n.
  const uint8_t* at(size_t row) const {
    if (slices.empty()) return data + row / kernel->tile_n * tile_bytes;
    const Slice& slice = slice_of(row);
    return slice.data + (row - slice.begin) / kernel->tile_n * tile_bytes;
  }
  // The rows from `row` up to this one follow each other in memory.
  size_t slice_end(size_t row) const { return slices.empty() ? n : slice_of(row).end; }
  const Slice& slice_of(size_t row) const {
    size_t i = 0;
    while (row >= slices[i].end) ++i;
    return slices[i];
  }
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

// Where the weights of a tensor are once the model is loaded.
enum class Place {
  kPacked,   // in the buffer that pack() makes
  kInPlace,  // in the file, read whole for each token
  kRows,     // in the file, of which single rows are read
  kFloats,   // as floats: norms and biases
};

struct PlacedTensor {
  const GgufTensor* tensor;
  Place place;
  uint64_t bytes;  // there
};

// Whether the tensors' data is there, or only their names, types and shapes.
enum class FileParts { kAll, kHeader };

// Room for the rows of one matrix in an arena, as a team's workers share them out by node.
class RowPlaces {
 public:
  // tile_bytes, kernel, n and k of the matrix are known.
  RowPlaces(PackedMatrix* matrix, const ThreadTeam& team, NodeArena* arena);
  // Makes the matrix's rows those of the arena, which is allocated now.
  void settle(const NodeArena& arena) const;
  PackedMatrix* matrix() const { return matrix_; }

 private:
  struct NodeRows {
    Range rows;
    size_t node;
    size_t offset;
  };
  PackedMatrix* matrix_;
  std::vector<NodeRows> places_;
};

// Source pages are given back after so many bytes: far more than a system call costs.
inline constexpr size_t kSliceBytes = 8 << 20;

// fn(rows) for all rows [0, count), each worker its part, about kSliceBytes of them in a region:
// so short that others' steps can come between. `unit` rows are not parted; one has `row_bytes`.
template <typename Fn>
void in_slices(ThreadTeam& team, size_t count, size_t unit, size_t row_bytes,
               const std::function<void()>& between, Fn&& fn) {
  const size_t slice = std::max<size_t>(1, kSliceBytes / (unit * row_bytes)) * unit;
  std::vector<Range> left;  // by worker: others' regions may change what range() says
  for (int worker = 0; worker < team.size(); ++worker) {
    left.push_back(team.range(count, unit, worker));
  }
  const auto is_left = [](const Range& rows) { return !rows.empty(); };
  while (std::any_of(left.begin(), left.end(), is_left)) {
    team.run([&](int worker) {
      Range& mine = left[static_cast<size_t>(worker)];
      const Range now{mine.begin, std::min(mine.end, mine.begin + slice)};
      if (!now.empty()) fn(now);
      mine.begin = now.end;
    });
    between();
  }
}

class WeightLoader {
 public:
  // With kHeader no data is read: vectors are ones, and pack() may not be called.
  WeightLoader(const GgufFile& file, const KernelSet& kernels, FileParts parts = FileParts::kAll)
      : file_(file), kernels_(kernels), parts_(parts) {}

  // All of these give an error (65) that names the tensor, what was expected and what was found.
  Result<void> matrix(const std::string& name, size_t n, size_t k, PackedMatrix* out) {
    return stacked(name, k, {{n, out}});
  }
  // Several matrices whose rows follow one another in one tensor.
  struct Part {
    size_t n;
    PackedMatrix* out;
  };
  Result<void> stacked(const std::string& name, size_t k, std::initializer_list<Part> parts);
  Result<void> vector(const std::string& name, size_t n, std::vector<float>* out);
  Result<void> table(const std::string& name, size_t n, size_t k, RowTable* out);
  bool has(const std::string& name) const { return file_.tensor(name) != nullptr; }

  // A matrix in the file's own layout that stays where the file is mapped, also where others are
  // copied to their nodes.
  void leave_in_place(const PackedMatrix& matrix) { left_ = &matrix; }

  // Packs what was asked for. The pointers given to matrix() and stacked() must still be valid.
  // Between regions `between` is called, where others may use the team. Errors: 71 no memory; 65 a
  // scale that is not finite (tensor, row and block); kInterrupted by `progress`.
  Result<NodeArena> pack(ThreadTeam& team, const WeightProgress& progress,
                         const std::function<void()>& between);

  // Names of tensors in the file that nobody asked for.
  std::vector<std::string> unused() const;
  uint64_t in_place_bytes() const { return in_place_bytes_; }
  size_t buffer_bytes() const { return packed_bytes_; }  // of the buffer that pack() makes
  // What was asked for, in that order; a tensor may be there more than once.
  const std::vector<PlacedTensor>& placed() const { return placed_; }

 private:
  Result<const GgufTensor*> find(const std::string& name, const std::vector<uint64_t>& dims);
  Result<void> pack_one(const PackedMatrix& matrix, ThreadTeam& team,
                        const std::function<void()>& between) const;

  const GgufFile& file_;
  const KernelSet& kernels_;
  FileParts parts_;
  std::vector<PackedMatrix*> matrices_;
  const PackedMatrix* left_ = nullptr;
  std::vector<PlacedTensor> placed_;
  size_t packed_bytes_ = 0;
  uint64_t in_place_bytes_ = 0;
};

}  // namespace nibble
