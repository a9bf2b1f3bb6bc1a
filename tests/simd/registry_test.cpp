// The list of kernels is whole and well-formed; selection, forcing and their messages.
#include "simd/registry.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "simd/format.h"
#include "simd/layout.h"

namespace nibble {
namespace {

constexpr CpuFeatures kAllFeatures = ~CpuFeatures{0};

std::vector<Format> all_formats() {
  std::vector<Format> formats;
  for (int i = 0; i < static_cast<int>(Format::kCount); ++i) {
    formats.push_back(static_cast<Format>(i));
  }
  return formats;
}

// The formats that a kernel of `op` comes in.
std::vector<Format> formats_of(Op op) {
  switch (op) {
    case Op::kMatmul:
    case Op::kDequantizeRow:
      return all_formats();
    case Op::kToKv:
    case Op::kAttend:
      return {Format::kF32, Format::kF16};
    default:
      return {Format::kF32};
  }
}

TEST(Registry, LevelsAscendFromScalar) {
  const auto levels = isa_levels();
  ASSERT_FALSE(levels.empty());
  EXPECT_EQ(levels[0].name, "scalar");
  EXPECT_EQ(levels[0].required, 0u);
  for (size_t i = 1; i < levels.size(); ++i) {
    EXPECT_LT(levels[i - 1].rank, levels[i].rank) << levels[i].name;
    EXPECT_NE(levels[i].required, 0u) << levels[i].name;
  }
}

TEST(Registry, ScalarHasEverything) {
  for (int i = 0; i < static_cast<int>(Op::kCount); ++i) {
    const Op op = static_cast<Op>(i);
    for (Format format : formats_of(op)) {
      std::string reason;
      const Kernel* kernel = select_kernel(op, format, 0, &reason);
      ASSERT_NE(kernel, nullptr) << op_name(op) << " " << format_info(format).name;
      EXPECT_EQ(kernel->level->name, "scalar");
      EXPECT_EQ(reason.find("only scalar"), 0u) << reason;
    }
  }
}

TEST(Registry, EntriesAreWellFormed) {
  std::set<std::string> ids;
  for (const Kernel& kernel : all_kernels()) {
    const KernelEntry& entry = *kernel.entry;
    const std::string id = kernel.id();
    EXPECT_TRUE(ids.insert(id).second) << "twice: " << id;
    EXPECT_NE(entry.fn.matmul, nullptr) << id;
    ASSERT_NE(entry.name, nullptr) << id;
    EXPECT_NE(std::string(entry.name), "") << id;
    EXPECT_NE(id.find(kernel.level->name), std::string::npos) << id;
    if (entry.op == Op::kMatmul) {
      EXPECT_EQ(entry.tile_n, layout_rows(entry.layout)) << id;
      EXPECT_NE(entry.activation, Activation::kNone) << id;
      EXPECT_EQ(entry.activation == Activation::kQ8, format_info(entry.format).block > 1) << id;
    } else {
      EXPECT_EQ(entry.tile_n, 1) << id;
      EXPECT_EQ(entry.activation, Activation::kNone) << id;
      EXPECT_EQ(entry.layout, Layout::kRowMajor) << id;
    }
  }
}

TEST(Registry, IdNamesOpFormatLevelLayout) {
  EXPECT_EQ(select_kernel(Op::kMatmul, Format::kQ4_0, 0)->id(), "matmul/q4_0/scalar/row_major");
  EXPECT_EQ(select_kernel(Op::kAttend, Format::kF16, 0)->id(), "attend/f16/scalar");
  EXPECT_EQ(select_kernel(Op::kRmsNorm, Format::kF32, 0)->id(), "rms_norm/f32/scalar");
}

TEST(Registry, SelectTakesTheHighestUsableLevel) {
  for (const IsaLevel& limit : isa_levels()) {
    for (const Kernel& kernel : all_kernels()) {
      const Op op = kernel.entry->op;
      const Format format = kernel.entry->format;
      const Kernel* chosen = select_kernel(op, format, limit.required);
      ASSERT_NE(chosen, nullptr);
      EXPECT_EQ(chosen->level->required & ~limit.required, 0u);
      if ((kernel.level->required & ~limit.required) == 0) {
        EXPECT_GE(chosen->level->rank, kernel.level->rank)
            << kernel.id() << " under " << limit.name;
      }
    }
  }
}

TEST(Registry, ReasonNamesTheChoiceAndWhatIsMissing) {
#if defined(__x86_64__)
  std::string reason;
  select_kernel(Op::kRmsNorm, Format::kF32, kAllFeatures, &reason);
  EXPECT_EQ(reason, "best of scalar, avx2, avx512");
  select_kernel(Op::kRmsNorm, Format::kF32, kAvx | kAvx2 | kFma | kF16c, &reason);
  EXPECT_EQ(reason,
            "best of scalar, avx2; avx512 needs avx512f, avx512bw, avx512dq, avx512vl, avx512cd");
#elif defined(__aarch64__)
  std::string reason;
  select_kernel(Op::kMatmul, Format::kQ4_0, kNeon | kDotprod, &reason);
  EXPECT_EQ(reason.find("best of scalar, neon, dotprod; "), 0u) << reason;
  EXPECT_NE(reason.find("; i8mm needs i8mm"), std::string::npos) << reason;
#endif
}

TEST(ForcedIsa, AutoIsWhatWasDetected) {
  for (const char* name : {"", "auto"}) {
    CpuFeatures features = 0;
    std::string error;
    ASSERT_TRUE(features_for_isa(name, kAvx2 | kFma, &features, &error));
    EXPECT_EQ(features, kAvx2 | kFma);
  }
}

TEST(ForcedIsa, TakesEffect) {
  for (const IsaLevel& level : isa_levels()) {
    CpuFeatures features = 0;
    std::string error;
    ASSERT_TRUE(features_for_isa(level.name, kAllFeatures, &features, &error)) << error;
    EXPECT_EQ(features, level.required);
    for (const Kernel& kernel : all_kernels()) {
      if (kernel.level != &level) continue;
      EXPECT_EQ(select_kernel(kernel.entry->op, kernel.entry->format, features)->level, &level);
    }
  }
}

TEST(ForcedIsa, UnknownNameIsAnError) {
  CpuFeatures features = 7;
  std::string error;
  EXPECT_FALSE(features_for_isa("avx1024", 0, &features, &error));
  EXPECT_EQ(error,
            "ISA level \"avx1024\" is not an ISA level of this build; choose one of auto, scalar.");
  EXPECT_EQ(features, 7u);
}

TEST(ForcedIsa, LevelTheCpuLacksIsAnError) {
#if defined(__x86_64__)
  CpuFeatures features = 7;
  std::string error;
  EXPECT_FALSE(features_for_isa("avx512", kAvx | kAvx2 | kFma | kF16c, &features, &error));
  EXPECT_EQ(error,
            "ISA level \"avx512\" cannot run on this CPU, which lacks avx512f, avx512bw, avx512dq, "
            "avx512vl, avx512cd; choose one of auto, scalar, avx2.");
  EXPECT_EQ(features, 7u);
#elif defined(__aarch64__)
  CpuFeatures features = 7;
  std::string error;
  EXPECT_FALSE(features_for_isa("i8mm", kNeon | kFp16, &features, &error));
  EXPECT_EQ(
      error,
      "ISA level \"i8mm\" cannot run on this CPU, which lacks dotprod, i8mm; choose one of auto, "
      "scalar, neon.");
  EXPECT_EQ(features, 7u);
#endif
}

TEST(Cpu, NamesAreInBitOrder) {
  EXPECT_EQ(feature_names(0), std::vector<std::string_view>{});
  EXPECT_EQ(feature_names(kAtomics | kAvx2 | kSse42 | kDotprod),
            (std::vector<std::string_view>{"sse42", "avx2", "dotprod", "atomics"}));
}

TEST(Cpu, BrandIsOneTrimmedLine) {
  const std::string brand = cpu_brand();
  ASSERT_FALSE(brand.empty());
  EXPECT_NE(brand.front(), ' ');
  EXPECT_NE(brand.back(), ' ');
  EXPECT_EQ(brand.find('\n'), std::string::npos);
}

// The kernel lists a flag where the CPU has it and the system saves its registers.
TEST(Cpu, AgreesWithTheKernel) {
#if defined(__x86_64__)
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line) && line.rfind("flags", 0) != 0) {
  }
  if (line.empty()) GTEST_SKIP() << "no flags in /proc/cpuinfo";
  std::istringstream words(line);
  const std::set<std::string> flags(std::istream_iterator<std::string>(words), {});
  const std::pair<const char*, CpuFeature> rows[] = {{"sse4_2", kSse42},
                                                     {"avx", kAvx},
                                                     {"avx2", kAvx2},
                                                     {"fma", kFma},
                                                     {"f16c", kF16c},
                                                     {"avx_vnni", kAvxvnni},
                                                     {"avx512f", kAvx512f},
                                                     {"avx512bw", kAvx512bw},
                                                     {"avx512dq", kAvx512dq},
                                                     {"avx512vl", kAvx512vl},
                                                     {"avx512cd", kAvx512cd},
                                                     {"avx512_vnni", kAvx512vnni},
                                                     {"avx512_bf16", kAvx512bf16},
                                                     {"avx512vbmi", kAvx512vbmi}};
  const CpuFeatures features = detect_cpu_features();
  for (const auto& [flag, feature] : rows) {
    EXPECT_EQ((features & feature) != 0, flags.count(flag) == 1) << flag;
  }
#elif defined(__aarch64__)
  EXPECT_NE(detect_cpu_features() & kNeon, 0u) << "every 64-bit ARM that Linux runs on has it";
#endif
}

}  // namespace
}  // namespace nibble
