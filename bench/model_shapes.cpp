#include "bench/model_shapes.h"

#include <algorithm>
#include <map>

#include "runtime/file/gguf.h"
#include "simd/format.h"
#include "simd/registry.h"

namespace nibble {
namespace {

std::string type_name(uint32_t id) {
  const std::string_view name = gguf_type_info(id).name;
  return name.empty() ? "type " + std::to_string(id) : std::string(name);
}

bool is_head(const GgufTensor& tensor) {
  return tensor.name == "token_embd.weight" || tensor.name == "output.weight";
}

}  // namespace

Result<std::vector<MatmulShape>> model_shapes(const std::string& path,
                                              const std::vector<size_t>& tokens,
                                              std::vector<std::string>* notes) {
  NIBBLE_TRY(const GgufFile file, GgufFile::open(path));
  std::vector<MatmulShape> shapes;
  std::map<std::string, int> left_out;  // tensors by type
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.dims.size() < 2 || tensor.dims[0] < 2 || tensor.dims[1] < 2) continue;
    const std::optional<Format> format = format_from_gguf(tensor.type_id);
    if (!format || !has_kernels(*format)) {
      ++left_out[type_name(tensor.type_id)];
      continue;
    }
    for (const size_t m : tokens) {
      if (m > 1 && is_head(tensor)) continue;
      // Of stacked matrices (experts) one: dims[2] and on count them.
      const MatmulShape shape = {{m, tensor.dims[1], tensor.dims[0]}, *format};
      if (std::find(shapes.begin(), shapes.end(), shape) == shapes.end()) shapes.push_back(shape);
    }
  }
  for (const auto& [type, count] : left_out) {
    notes->push_back(std::to_string(count) + " tensors of type " + type +
                     " are left out: no kernels for it");
  }
  if (shapes.empty()) {
    return Error{ErrorCode::kData, path + " has no matrix in a format that nibble has kernels for"};
  }
  return shapes;
}

}  // namespace nibble
