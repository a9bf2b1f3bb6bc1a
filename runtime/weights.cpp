#include "runtime/weights.h"

#include <algorithm>
#include <atomic>
#include <cmath>
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

// Source pages are given back after so many bytes: far more than a system call costs.
constexpr size_t kReleaseBytes = 8 << 20;

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
  used_.push_back(tensor);
  return tensor;
}

Result<void> WeightLoader::matrix(const std::string& name, size_t n, size_t k, PackedMatrix* out) {
  NIBBLE_TRY(const GgufTensor* tensor, find(name, {k, n}));
  NIBBLE_TRY(const Format format, supported_format(*tensor));
  const KernelEntry& kernel = kernels_.entry(Op::kMatmul, format);
  out->kernel = &kernel;
  out->format = format;
  out->n = n;
  out->k = k;
  if (kernel.layout == Layout::kRowMajor) {
    out->data = tensor->data;
    out->tile_bytes = row_bytes(format, k);
    in_place_bytes_ += tensor->bytes;
    return {};
  }
  out->tile_bytes = packed_bytes(format, kernel.layout, kernel.tile_n, k);
  pending_.push_back({tensor, out, packed_bytes_});
  constexpr size_t kAlign = 64;  // a cache line: no register load of a tile crosses one more
  packed_bytes_ += (packed_bytes(format, kernel.layout, n, k) + kAlign - 1) / kAlign * kAlign;
  return {};
}

Result<void> WeightLoader::vector(const std::string& name, size_t n, std::vector<float>* out) {
  NIBBLE_TRY(const GgufTensor* tensor, find(name, {n}));
  NIBBLE_TRY(const Format format, supported_format(*tensor));
  out->resize(n);
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

Result<void> WeightLoader::optional_vector(const std::string& name, size_t n,
                                           std::vector<float>* out) {
  if (!has(name)) return {};
  return vector(name, n, out);
}

Result<void> WeightLoader::table(const std::string& name, size_t n, size_t k, RowTable* out) {
  NIBBLE_TRY(const GgufTensor* tensor, find(name, {k, n}));
  NIBBLE_TRY(const Format format, supported_format(*tensor));
  *out = {&kernels_.entry(Op::kDequantizeRow, format), tensor->data, row_bytes(format, k), n, k};
  return {};
}

Result<Buffer> WeightLoader::pack(ThreadTeam& team, const WeightProgress& progress) {
  NIBBLE_TRY(Buffer buffer, Buffer::allocate(std::max<size_t>(packed_bytes_, 1), "packed weights"));
  for (const Pending& pending : pending_) {
    NIBBLE_TRY_VOID(pack_one(pending, buffer.as(), team));
    const double done = static_cast<double>(pending.offset + pending.out->bytes());
    if (progress && !progress(done / static_cast<double>(packed_bytes_))) {
      return Error{ErrorCode::kInterrupted, "loading was interrupted"};
    }
  }
  return buffer;
}

Result<void> WeightLoader::pack_one(const Pending& pending, uint8_t* base, ThreadTeam& team) const {
  PackedMatrix& matrix = *pending.out;
  uint8_t* destination = base + pending.offset;
  const size_t source_row_bytes = row_bytes(matrix.format, matrix.k);
  const size_t tile = matrix.kernel->tile_n;
  // Packed and source bytes are both resident for one slice a thread at a time.
  const size_t slice = std::max<size_t>(1, kReleaseBytes / (tile * source_row_bytes)) * tile;
  std::atomic<uint64_t> bad{UINT64_MAX};  // row << 32 | block of the first scale not finite
  team.run([&](int worker) {
    const Range rows = split_range(matrix.n, tile, worker, team.size());
    for (size_t first = rows.begin; first < rows.end; first += slice) {
      const size_t count = std::min(slice, rows.end - first);
      const uint8_t* source = pending.tensor->data + first * source_row_bytes;
      const PackResult result = pack_rows(matrix.format, matrix.kernel->layout, source, count,
                                          matrix.k, destination + first / tile * matrix.tile_bytes);
      file_.release_pages(source, count * source_row_bytes);
      if (result.finite) continue;
      const uint64_t mine = (first + result.row) << 32 | result.block;
      uint64_t seen = bad.load();
      while (mine < seen && !bad.compare_exchange_weak(seen, mine)) {
      }
    }
  });
  if (const uint64_t found = bad.load(); found != UINT64_MAX) {
    return Error{ErrorCode::kData, file_.path() + ": tensor " + pending.tensor->name +
                                       ": the scale of row " + std::to_string(found >> 32) +
                                       ", block " + std::to_string(found & UINT32_MAX) +
                                       " is not finite; the file is damaged, download it again"};
  }
  matrix.data = destination;
  return {};
}

std::vector<std::string> WeightLoader::unused() const {
  const std::unordered_set<const GgufTensor*> used(used_.begin(), used_.end());
  std::vector<std::string> names;
  for (const GgufTensor& tensor : file_.tensors()) {
    if (!used.contains(&tensor)) names.push_back(tensor.name);
  }
  return names;
}

}  // namespace nibble
