#include "runtime/weights.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "runtime/file/check.h"
#include "simd/layout.h"

namespace nibble {
namespace {

std::string shape_text(const std::vector<uint64_t>& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + "]";
}

// A shape without trailing ones: writers differ in whether they keep them.
std::vector<uint64_t> trimmed(std::vector<uint64_t> dims) {
  while (dims.size() > 1 && dims.back() == 1) dims.pop_back();
  return dims;
}

}  // namespace

Result<const GgufTensor*> WeightLoader::find(const std::string& name,
                                             const std::vector<uint64_t>& dims) {
  const GgufTensor* tensor = file_.tensor(name);
  if (tensor == nullptr) {
    return Error{ErrorCode::kData, file_.path() + ": tensor " + name + " " + shape_text(dims) +
                                       " is missing; the file is incomplete or of another kind"};
  }
  if (trimmed(tensor->dims) != trimmed(dims)) {
    return Error{ErrorCode::kData, file_.path() + ": tensor " + name + " has shape " +
                                       shape_text(tensor->dims) + ", expected " + shape_text(dims) +
                                       " by the file's own metadata"};
  }
  return tensor;
}

Result<void> WeightLoader::stacked(const std::string& name, size_t k,
                                   std::initializer_list<Part> parts) {
  size_t rows = 0;
  for (const Part& part : parts) rows += part.n;
  NIBBLE_TRY(const GgufTensor* tensor, find(name, {k, rows}));
  NIBBLE_TRY(const Format format, supported_format(*tensor));
  const KernelEntry& kernel = kernels_.entry(Op::kMatmul, format);
  const uint64_t before = packed_bytes_ + in_place_bytes_;
  size_t row = 0;
  for (const auto& [n, out] : parts) {
    out->kernel = &kernel;
    out->format = format;
    out->source = tensor;
    out->source_row = row;
    out->n = n;
    out->k = k;
    if (kernel.layout == Layout::kRowMajor) {
      if (parts_ == FileParts::kAll) out->data = tensor->data + row * row_bytes(format, k);
      out->tile_bytes = row_bytes(format, k);
      in_place_bytes_ += n * row_bytes(format, k);
    } else {
      out->tile_bytes = packed_bytes(format, kernel.layout, kernel.tile_n, k);
      constexpr size_t kAlign = 64;  // as NodeArena::reserve()
      packed_bytes_ += (packed_bytes(format, kernel.layout, n, k) + kAlign - 1) / kAlign * kAlign;
    }
    matrices_.push_back(out);
    row += n;
  }
  placed_.push_back({tensor, kernel.layout == Layout::kRowMajor ? Place::kInPlace : Place::kPacked,
                     packed_bytes_ + in_place_bytes_ - before});
  return {};
}

Result<void> WeightLoader::vector(const std::string& name, size_t n, std::vector<float>* out) {
  NIBBLE_TRY(const GgufTensor* tensor, find(name, {n}));
  NIBBLE_TRY(const Format format, supported_format(*tensor));
  placed_.push_back({tensor, Place::kFloats, n * sizeof(float)});
  out->assign(n, 1.0f);
  if (parts_ == FileParts::kHeader) return {};
  const DequantizeArgs args{tensor->data, out->data(), n};
  kernels_.fn(Op::kDequantizeRow, format).dequantize(&args);
  for (size_t i = 0; i < n; ++i) {
    if (!std::isfinite((*out)[i])) {
      return Error{ErrorCode::kData, file_.path() + ": tensor " + name + ": element " +
                                         std::to_string(i) +
                                         " is not finite; the file is damaged, download it again"};
    }
  }
  return {};
}

Result<void> WeightLoader::table(const std::string& name, size_t n, size_t k, RowTable* out) {
  NIBBLE_TRY(const GgufTensor* tensor, find(name, {k, n}));
  NIBBLE_TRY(const Format format, supported_format(*tensor));
  placed_.push_back({tensor, Place::kRows, n * row_bytes(format, k)});
  *out = {&kernels_.entry(Op::kDequantizeRow, format), tensor->data, row_bytes(format, k), n, k};
  return {};
}

RowPlaces::RowPlaces(PackedMatrix* matrix, const ThreadTeam& team, NodeArena* arena)
    : matrix_(matrix) {
  const size_t tile = matrix->kernel->tile_n;
  const int nodes = team.plan().bind_memory ? team.nodes() : 1;
  for (int node = 0; node < nodes; ++node) {
    const Range rows = nodes == 1 ? Range{0, matrix->n} : team.range_of_node(matrix->n, tile, node);
    if (rows.empty()) continue;
    const size_t tiles = (rows.end - rows.begin + tile - 1) / tile;
    const auto region = static_cast<size_t>(node);
    places_.push_back({rows, region, arena->reserve(region, tiles * matrix->tile_bytes)});
  }
}

void RowPlaces::settle(const NodeArena& arena) const {
  PackedMatrix& matrix = *matrix_;
  matrix.data = arena.at(places_.front().node, places_.front().offset);
  matrix.slices.clear();
  if (places_.size() == 1) return;
  for (const NodeRows& place : places_) {
    matrix.slices.push_back({place.rows.begin, place.rows.end, arena.at(place.node, place.offset)});
  }
}

Result<NodeArena> WeightLoader::pack(ThreadTeam& team, const WeightProgress& progress,
                                     const std::function<void()>& between) {
  NIBBLE_CHECK(parts_ == FileParts::kAll);
  const TeamPlan& plan = team.plan();
  NodeArena arena;
  std::vector<RowPlaces> places;
  for (PackedMatrix* matrix : matrices_) {
    // The file's pages lie where they were first read, by whatever program.
    const bool copy = plan.bind_memory && matrix != left_;
    const bool in_place = matrix->kernel->layout == Layout::kRowMajor;
    if (in_place && !copy) continue;
    if (in_place) in_place_bytes_ -= matrix->bytes();
    places.emplace_back(matrix, team, &arena);
  }
  std::vector<int> nodes;
  if (plan.bind_memory) nodes.assign(plan.nodes.begin(), plan.nodes.begin() + team.nodes());
  NIBBLE_TRY_VOID(arena.allocate("packed weights", nodes));
  const auto all = static_cast<double>(arena.reserved());
  double done = 0;
  for (const RowPlaces& place : places) {
    place.settle(arena);
    NIBBLE_TRY_VOID(pack_one(*place.matrix(), team, between));
    NIBBLE_TRY_VOID(file_.check_read());
    done += static_cast<double>(place.matrix()->bytes());
    if (progress && !progress(std::min(done / all, 1.0))) {
      return Error{ErrorCode::kInterrupted, "loading was interrupted"};
    }
  }
  return arena;
}

Result<void> WeightLoader::pack_one(const PackedMatrix& matrix, ThreadTeam& team,
                                    const std::function<void()>& between) const {
  const size_t source_row_bytes = row_bytes(matrix.format, matrix.k);
  std::atomic<uint64_t> bad{UINT64_MAX};  // row << 32 | block of the first scale not finite
  // Packed and source bytes are both resident for one slice a thread at a time.
  in_slices(team, matrix.n, matrix.kernel->tile_n, source_row_bytes, between, [&](Range rows) {
    const size_t count = rows.end - rows.begin;
    const uint8_t* source =
        matrix.source->data + (matrix.source_row + rows.begin) * source_row_bytes;
    auto* destination = const_cast<uint8_t*>(matrix.at(rows.begin));  // the arena's, not the file's
    PackResult result;
    if (matrix.kernel->layout == Layout::kRowMajor) {
      std::memcpy(destination, source, count * source_row_bytes);
    } else {
      result =
          pack_rows(matrix.format, matrix.kernel->layout, source, count, matrix.k, destination);
    }
    file_.release_pages(source, count * source_row_bytes);
    if (result.finite) return;
    const uint64_t mine = (matrix.source_row + rows.begin + result.row) << 32 | result.block;
    uint64_t seen = bad.load();
    while (mine < seen && !bad.compare_exchange_weak(seen, mine)) {
    }
  });
  if (const uint64_t found = bad.load(); found != UINT64_MAX) {
    return Error{ErrorCode::kData, file_.path() + ": tensor " + matrix.source->name +
                                       ": the scale of row " + std::to_string(found >> 32) +
                                       ", block " + std::to_string(found & UINT32_MAX) +
                                       " is not finite; the file is damaged, download it again"};
  }
  return {};
}

std::vector<std::string> WeightLoader::unused() const {
  std::unordered_set<const GgufTensor*> used;
  for (const PlacedTensor& placed : placed_) used.insert(placed.tensor);
  std::vector<std::string> names;
  for (const GgufTensor& tensor : file_.tensors()) {
    if (!used.contains(&tensor)) names.push_back(tensor.name);
  }
  return names;
}

}  // namespace nibble
