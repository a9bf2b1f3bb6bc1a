// What each tensor becomes. Read next: mix.cpp (the rules).
#include "runtime/file/concat.h"
#include "runtime/machine/memory.h"
#include "runtime/quantize/quantize_model.h"
#include "runtime/quantize/quantize_row.h"

namespace nibble {
namespace {

// A number that is one for the whole model, or of the first layer.
uint64_t head_count(const GgufFile& file, const std::string& key) {
  const GgufValue* value = file.find(key);
  if (value == nullptr) return 0;
  if (const auto* array = std::get_if<GgufArray>(&value->data)) {
    if (!array->uints.empty()) return array->uints[0];
    return array->ints.empty() || array->ints[0] < 0 ? 0 : static_cast<uint64_t>(array->ints[0]);
  }
  const Result<uint64_t> count = file.get_uint(key, 0);
  return count ? *count : 0;
}

MixFacts facts_of(const GgufFile& file, bool importances) {
  MixFacts facts;
  facts.importances = importances;
  facts.tied = file.tensor("output.weight") == nullptr;
  const Result<std::string> architecture = file.get_string("general.architecture", "");
  const std::string prefix = architecture ? *architecture : "";
  const Result<uint64_t> layers = file.get_uint(prefix + ".block_count", 0);
  if (layers) facts.layers = *layers;
  const uint64_t heads = head_count(file, prefix + ".attention.head_count");
  const uint64_t kv_heads = head_count(file, prefix + ".attention.head_count_kv");
  if (kv_heads != 0) facts.queries_per_kv = heads / kv_heads;
  return facts;
}

// std::regex recurses for each character, so the names that it sees are bounded.
Result<const TensorRule*> rule_for(const QuantizeOptions& options, const std::string& name) {
  constexpr size_t kLongest = 256;
  if (!options.rules.empty() && name.size() > kLongest) {
    return Error{ErrorCode::kData, concat("tensor ", quoted(name), ": a name of ", name.size(),
                                          " bytes; rules for tensors take up to ", kLongest)};
  }
  for (const TensorRule& rule : options.rules) {
    if (std::regex_search(name, rule.name)) return &rule;
  }
  return nullptr;
}

// The format wanted, before the shape is looked at; nothing for tensors that are kept.
Result<std::optional<Format>> wanted_format(const GgufTensor& tensor, const MixFacts& facts,
                                            const QuantizeOptions& options) {
  if (!is_quantizable(tensor.name, tensor.dims.size())) return std::optional<Format>();
  NIBBLE_TRY(const TensorRule* rule, rule_for(options, tensor.name));
  std::optional<Format> asked;
  if (rule != nullptr) asked = rule->format;
  if (rule == nullptr && is_embedding_or_head(tensor.name)) asked = options.head;
  const uint64_t k = tensor.dims[0];
  if (asked && format_info(*asked).block > 1 && fallback(*asked, k) == Format::kF16) {
    return Error{ErrorCode::kUsage,
                 concat(tensor.name, ": its rows of ", k, " cannot be ", format_info(*asked).name,
                        ", whose blocks have ", format_info(*asked).block,
                        " weights; choose F16, BF16 or F32 for it")};
  }
  return std::optional<Format>(asked ? *asked : mix_format(*options.mix, facts, tensor.name));
}

Result<const std::vector<float>*> importance_for(const GgufTensor& tensor,
                                                 const ImportanceMatrix* matrix) {
  const std::vector<float>* found = matrix == nullptr ? nullptr : matrix->find(tensor.name);
  if (found == nullptr) return found;
  const uint64_t k = tensor.dims[0];
  const uint64_t experts = tensor.rows() / tensor.dims[1];
  if (found->size() != k * experts && found->size() != k) {
    return Error{ErrorCode::kData, concat(matrix->path(), ": ", tensor.name, " has ", found->size(),
                                          " importances, expected ", k * experts,
                                          "; it was made with another model")};
  }
  return found;
}

}  // namespace

Result<QuantizePlan> plan_quantization(const GgufFile& file, const QuantizeOptions& options,
                                       const KernelSet& kernels) {
  const MixFacts facts = facts_of(file, options.importance != nullptr);
  QuantizePlan plan;
  bool any_importance = false;
  for (const GgufTensor& tensor : file.tensors()) {
    TensorPlan row{&tensor, tensor.type_id, {}, {}, nullptr, tensor.bytes};
    NIBBLE_TRY(const std::optional<Format> wanted, wanted_format(tensor, facts, options));
    if (wanted) {
      const Format format = fallback(*wanted, tensor.dims[0]);
      if (format != *wanted) row.wanted = wanted;
      NIBBLE_TRY(row.importance, importance_for(tensor, options.importance));
      any_importance |= row.importance != nullptr;
      if (format_info(format).gguf_id != tensor.type_id) {
        const std::optional<Format> from = format_from_gguf(tensor.type_id);
        if (!from || kernels.kernel(Op::kDequantizeRow, *from) == nullptr) {
          return Error{ErrorCode::kData,
                       concat(tensor.name, ": type ", gguf_type_info(tensor.type_id).name,
                              " cannot be converted; use an F16, BF16 or F32 file")};
        }
        row.format = format;
        row.type_id = format_info(format).gguf_id;
        row.bytes = tensor.rows() * row_bytes(format, tensor.dims[0]);
        row.requantized = format_info(*from).block > 1;
      }
    }
    plan.bytes += row.bytes;
    plan.tensors.push_back(row);
  }
  if (options.importance != nullptr && !any_importance) {
    return Error{ErrorCode::kData, concat(options.importance->path(), ": it has none of the ",
                                          "tensors of ", file.path(),
                                          "; was it made with another "
                                          "model?")};
  }
  return plan;
}

GgufFile quantized_header(const GgufFile& file, const QuantizePlan& plan) {
  std::vector<GgufTensor> tensors;
  for (const TensorPlan& row : plan.tensors) {
    GgufTensor& tensor = tensors.emplace_back(*row.tensor);
    tensor.type_id = row.type_id;
    tensor.bytes = row.bytes;
    tensor.data = nullptr;
  }
  return GgufFile::assemble(file.path(), file.metadata(), std::move(tensors), {});
}

}  // namespace nibble
