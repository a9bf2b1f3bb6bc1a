#include "tools/nibble/quantize_report.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "tools/nibble/command.h"
#include "tools/nibble/table.h"

namespace nibble::cli {
namespace {

std::string type_name(uint32_t id) {
  return std::string(gguf_type_info(id).name);
}

std::string shape_text(const GgufTensor& tensor) {
  std::string text;
  for (const uint64_t dim : tensor.dims) text += (text.empty() ? "" : " x ") + std::to_string(dim);
  return text;
}

std::string percent(double part) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g %%", 100 * part);
  return text;
}

uint64_t weights_of(const QuantizePlan& plan) {
  uint64_t weights = 0;
  for (const TensorPlan& row : plan.tensors) weights += row.tensor->rows() * row.tensor->dims[0];
  return weights;
}

double bits_per_weight(uint64_t bytes, uint64_t weights) {
  return 8 * static_cast<double>(bytes) / static_cast<double>(std::max<uint64_t>(weights, 1));
}

uint64_t input_bytes(const QuantizePlan& plan) {
  uint64_t bytes = 0;
  for (const TensorPlan& row : plan.tensors) bytes += row.tensor->bytes;
  return bytes;
}

void print_tensors(const QuantizeSummary& summary) {
  const bool written = !summary.losses.empty();
  Table table({false, true, false, false, true, true, false});
  table.add({"tensor", "shape", "from", "to", "size", written ? "error" : "", ""});
  for (size_t i = 0; i < summary.plan->tensors.size(); ++i) {
    const TensorPlan& row = summary.plan->tensors[i];
    const std::string note =
        row.wanted ? "for " + std::string(format_info(*row.wanted).name) : std::string();
    table.add({row.tensor->name, shape_text(*row.tensor), type_name(row.tensor->type_id),
               type_name(row.type_id), human_bytes(row.bytes),
               written && row.format ? percent(summary.losses[i].relative) : "", note});
  }
  table.print();
}

void print_types(const QuantizePlan& plan) {
  struct Total {
    uint64_t tensors = 0, bytes = 0;
  };
  std::map<std::string, Total> totals;
  for (const TensorPlan& row : plan.tensors) {
    Total& total = totals[type_name(row.type_id)];
    ++total.tensors;
    total.bytes += row.bytes;
  }
  Table table({false, true, true});
  table.add({"type", "tensors", "size"});
  for (const auto& [name, total] : totals) {
    table.add({name, std::to_string(total.tensors), human_bytes(total.bytes)});
  }
  table.print();
}

}  // namespace

void print_quantize_notes(const QuantizeSummary& summary) {
  size_t requantized = 0, replaced = 0;
  std::string first;
  for (const TensorPlan& row : summary.plan->tensors) {
    requantized += row.requantized;
    if (row.wanted && replaced++ == 0) {
      first = row.tensor->name + ": " + std::string(format_info(*row.format).name) + " for " +
              std::string(format_info(*row.wanted).name);
    }
  }
  if (requantized > 0) {
    std::fprintf(stderr,
                 "nibble: warning: %zu tensors are quantised already and lose a second time; start "
                 "from an F16, BF16 or F32 file if there is one\n",
                 requantized);
  }
  if (replaced > 0) {
    std::fprintf(stderr,
                 "nibble: note: %zu tensors have rows that are no multiple of 256 (or 32) and get "
                 "the type that stands in (%s)\n",
                 replaced, first.c_str());
  }
}

void print_quantize_table(const QuantizeSummary& summary, bool every_tensor) {
  if (every_tensor) {
    print_tensors(summary);
    std::puts("");
  }
  print_types(*summary.plan);
  const uint64_t before = input_bytes(*summary.plan), after = summary.plan->bytes;
  const uint64_t weights = weights_of(*summary.plan);
  std::printf("\n%s: %s (%.2f bits a weight) -> %s (%.2f)", summary.mix.c_str(),
              human_bytes(before).c_str(), bits_per_weight(before, weights),
              human_bytes(after).c_str(), bits_per_weight(after, weights));
  if (summary.losses.empty()) {
    std::puts("; nothing was written");
    return;
  }
  size_t worst = 0;
  for (size_t i = 0; i < summary.losses.size(); ++i) {
    if (summary.losses[i].relative > summary.losses[worst].relative) worst = i;
  }
  std::printf(", %.1f s\nlargest error: %s of %s\n", summary.seconds,
              percent(summary.losses[worst].relative).c_str(),
              summary.plan->tensors[worst].tensor->name.c_str());
}

nlohmann::ordered_json quantize_json(const QuantizeSummary& summary) {
  using json = nlohmann::ordered_json;
  const uint64_t weights = weights_of(*summary.plan);
  json out = {{"input", summary.file->path()},
              {"output", summary.output},
              {"mix", summary.mix},
              {"weights", weights},
              {"bytes_before", input_bytes(*summary.plan)},
              {"bytes_after", summary.plan->bytes},
              {"bits_per_weight", bits_per_weight(summary.plan->bytes, weights)},
              {"seconds", summary.seconds},
              {"tensors", json::array()}};
  for (size_t i = 0; i < summary.plan->tensors.size(); ++i) {
    const TensorPlan& row = summary.plan->tensors[i];
    json tensor = {{"name", row.tensor->name},
                   {"shape", row.tensor->dims},
                   {"from", type_name(row.tensor->type_id)},
                   {"to", type_name(row.type_id)},
                   {"bytes", row.bytes}};
    if (row.wanted) tensor["instead_of"] = format_info(*row.wanted).name;
    if (!summary.losses.empty() && row.format) {
      tensor["rms_error"] = summary.losses[i].rms;
      tensor["relative_error"] = summary.losses[i].relative;
    }
    out["tensors"].push_back(std::move(tensor));
  }
  return out;
}

}  // namespace nibble::cli
