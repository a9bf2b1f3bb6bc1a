#include "simd/registry.h"

#include <algorithm>
#include <cctype>

#include "simd/format.h"

// The tables, one per kernel file: nibble_kernels_<level>_<file>.
#define NIBBLE_LEVEL(level, features, rank)
#define NIBBLE_KERNEL_FILE(level, stem) \
  extern "C" const ::nibble::KernelList nibble_kernels_##level##_##stem;
#include "arch_list.inc"
#undef NIBBLE_LEVEL
#undef NIBBLE_KERNEL_FILE

namespace nibble {
namespace {

struct KernelFile {
  std::string_view level;
  const KernelList* list;
};

#define NIBBLE_LEVEL(level, features, rank)
#define NIBBLE_KERNEL_FILE(level, stem) {#level, &nibble_kernels_##level##_##stem},
constexpr KernelFile kFiles[] = {
#include "arch_list.inc"
};
#undef NIBBLE_LEVEL
#undef NIBBLE_KERNEL_FILE

constexpr std::string_view kOpNames[] = {
    "matmul",       "quantize_row", "to_q4_0", "dequantize_row", "rms_norm", "gelu_mul", "silu_mul",
    "rope_neox",    "rope_norm",    "add",     "scale",          "softcap",  "to_kv",    "attend",
    "attend_merge", "peak",
};
static_assert(std::size(kOpNames) == static_cast<size_t>(Op::kCount));

constexpr std::string_view kLayoutNames[] = {"row_major", "rows8", "rows8_biased", "rows16_biased",
                                             "rows16"};
static_assert(std::size(kLayoutNames) == static_cast<size_t>(Layout::kCount));

std::vector<IsaLevel> sorted_levels() {
  std::vector<IsaLevel> levels = {
#define NIBBLE_LEVEL(level, features, rank) {#level, features, rank},
#define NIBBLE_KERNEL_FILE(level, stem)
#include "arch_list.inc"
#undef NIBBLE_LEVEL
#undef NIBBLE_KERNEL_FILE
  };
  std::sort(levels.begin(), levels.end(),
            [](const IsaLevel& a, const IsaLevel& b) { return a.rank < b.rank; });
  return levels;
}

std::vector<Kernel> list_kernels() {
  std::vector<Kernel> kernels;
  for (const IsaLevel& level : isa_levels()) {
    for (const KernelFile& file : kFiles) {
      if (file.level != level.name) continue;
      for (size_t i = 0; i < file.list->count; ++i) {
        kernels.push_back({&file.list->entries[i], &level});
      }
    }
  }
  return kernels;
}

std::string join(const std::vector<std::string_view>& words) {
  std::string text;
  for (std::string_view word : words) {
    if (!text.empty()) text += ", ";
    text += word;
  }
  return text;
}

std::string missing_names(CpuFeatures required, CpuFeatures present) {
  return join(feature_names(required & ~present));
}

bool usable(const IsaLevel& level, CpuFeatures features) {
  return (level.required & ~features) == 0;
}

}  // namespace

std::string Kernel::id() const {
  std::string format(format_info(entry->format).name);
  for (char& c : format) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::string text(op_name(entry->op));
  text += "/" + format + "/";
  text += level->name;
  if (entry->op == Op::kMatmul) {
    text += "/";
    text += layout_name(entry->layout);
  }
  return text;
}

std::span<const IsaLevel> isa_levels() {
  static const std::vector<IsaLevel> levels = sorted_levels();
  return levels;
}

std::span<const Kernel> all_kernels() {
  static const std::vector<Kernel> kernels = list_kernels();
  return kernels;
}

std::string_view op_name(Op op) {
  return kOpNames[static_cast<size_t>(op)];
}

std::string_view layout_name(Layout layout) {
  return kLayoutNames[static_cast<size_t>(layout)];
}

bool features_for_isa(std::string_view isa, CpuFeatures detected, CpuFeatures* features,
                      std::string* error) {
  if (isa.empty() || isa == "auto") {
    *features = detected;
    return true;
  }
  std::string problem = "is not an ISA level of this build";
  std::vector<std::string_view> choices = {"auto"};
  for (const IsaLevel& level : isa_levels()) {
    const bool can_run = usable(level, detected);
    if (can_run) choices.push_back(level.name);
    if (level.name != isa) continue;
    if (can_run) {
      *features = level.required;
      return true;
    }
    problem = "cannot run on this CPU, which lacks " + missing_names(level.required, detected);
  }
  *error = "ISA level \"" + std::string(isa) + "\" " + problem + "; choose one of " +
           join(choices) + ".";
  return false;
}

const Kernel* select_kernel(Op op, Format format, CpuFeatures features, std::string* reason) {
  const Kernel* best = nullptr;
  std::vector<std::string_view> candidates;
  std::string unusable;
  for (const Kernel& kernel : all_kernels()) {  // by ascending rank
    if (kernel.entry->op != op || kernel.entry->format != format) continue;
    if (usable(*kernel.level, features)) {
      // Of two kernels of one level the first listed wins.
      if (best != nullptr && best->level == kernel.level) continue;
      best = &kernel;
      candidates.push_back(kernel.level->name);
    } else {
      unusable += "; " + std::string(kernel.level->name) + " needs " +
                  missing_names(kernel.level->required, features);
    }
  }
  if (reason != nullptr) {
    *reason = (candidates.size() > 1 ? "best of " : "only ") + join(candidates) + unusable;
  }
  return best;
}

bool has_kernels(Format format) {
  return select_kernel(Op::kMatmul, format, 0) != nullptr;
}

}  // namespace nibble
