#include "tools/nibble/planning.h"

#include <utility>

#include "runtime/file/gguf.h"
#include "runtime/quantize/quantize_model.h"

namespace nibble::cli {
namespace {

constexpr OfferedType kTypes[] = {
    {"QAT Q4_0", "Q4_0", Format::kF16},  // as Google ships it
    {"Q4_0", "Q4_0", {}},
    {"Q4_K_M", "Q4_K_M", {}},
    {"Q5_K_M", "Q5_K_M", {}},
    {"Q6_K", "Q6_K", {}},
    {"Q8_0", "Q8_0", {}},
    {"F16", "F16", {}},
};

std::string shape_names() {
  std::string names;
  for (const SynthShape& shape : synth_shapes()) {
    names.append(names.empty() ? "" : ", ").append(shape.name);
  }
  return names;
}

uint64_t tensor_bytes(const GgufFile& file) {
  uint64_t bytes = 0;
  for (const GgufTensor& tensor : file.tensors()) bytes += tensor.bytes;
  return bytes;
}

}  // namespace

std::span<const OfferedType> offered_types() {
  return kTypes;
}

Result<PlannedModel> plan_shape(const SynthShape& shape, const OfferedType& type,
                                const KernelSet& kernels) {
  const GgufFile full = synth_header(shape);
  QuantizeOptions options;
  options.mix = find_mix(type.mix);
  options.head = type.head;
  NIBBLE_TRY(const QuantizePlan plan, plan_quantization(full, options, kernels));
  const GgufFile file = quantized_header(full, plan);
  PlannedModel model{std::string(shape.name), std::string(type.name), plan.bytes, {}};
  NIBBLE_TRY(model.memory, model_memory(file, kernels, HeadMode::kScreened));
  return model;
}

Result<PlannedModel> plan_file(const std::string& path, const KernelSet& kernels, HeadMode head) {
  auto opened = GgufFile::open(path);
  if (!opened && opened.error().code == ErrorCode::kNoInput) {
    return Error{ErrorCode::kNoInput, opened.error().message + "; known shapes: " + shape_names()};
  }
  NIBBLE_TRY(const GgufFile file, std::move(opened));
  PlannedModel model{path.substr(path.find_last_of('/') + 1), {}, tensor_bytes(file), {}};
  NIBBLE_TRY(model.memory, model_memory(file, kernels, head));
  return model;
}

double expected_decode(const PlannedModel& model, const SessionMemory& session, int64_t depth,
                       const MachineSpeed& speed) {
  const uint64_t bytes =
      model.memory.decode_bytes +
      KvCache::read_bytes(model.memory.shape.kv_shape(), depth, session.kv_format);
  return kDecodeShare * speed.read_gb_per_s * 1e9 / static_cast<double>(bytes);
}

std::optional<double> expected_prompt(const PlannedModel& model, const MachineSpeed& speed) {
  if (model.memory.int8_products == 0) return std::nullopt;
  return kPromptShare * speed.int8_gmac_per_s * 1e9 /
         static_cast<double>(model.memory.int8_products);
}

}  // namespace nibble::cli
