#include "simd/cpu.h"

#include <array>
#include <cstring>
#include <fstream>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace nibble {
namespace {

struct FeatureName {
  CpuFeature feature;
  std::string_view name;
};

// In bit order.
constexpr FeatureName kNames[] = {
    {kSse42, "sse42"},
    {kAvx, "avx"},
    {kAvx2, "avx2"},
    {kFma, "fma"},
    {kF16c, "f16c"},
    {kAvxvnni, "avxvnni"},
    {kAvx512f, "avx512f"},
    {kAvx512bw, "avx512bw"},
    {kAvx512dq, "avx512dq"},
    {kAvx512vl, "avx512vl"},
    {kAvx512cd, "avx512cd"},
    {kAvx512vnni, "avx512vnni"},
    {kAvx512bf16, "avx512bf16"},
    {kAvx512vbmi, "avx512vbmi"},
    {kNeon, "neon"},
    {kDotprod, "dotprod"},
    {kI8mm, "i8mm"},
    {kFp16, "fp16"},
    {kSve, "sve"},
    {kSve2, "sve2"},
    {kBf16, "bf16"},
    {kAtomics, "atomics"},
};

#if defined(__x86_64__)
struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// Zeros when the CPU does not have the leaf.
Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool bit(uint32_t word, int index) {
  return (word >> index & 1) != 0;
}

// XCR0: the register states that the operating system saves. As an instruction, because the
// intrinsic wants -mxsave. Only where CPUID reports OSXSAVE.
uint64_t saved_states() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

// Bit numbers: Intel SDM volume 2A, CPUID; XCR0: volume 1, chapter 13.
CpuFeatures detect() {
  constexpr uint64_t kAvxState = 0x6;      // XMM, YMM
  constexpr uint64_t kAvx512State = 0xe6;  // and opmasks, upper ZMM halves, ZMM16-31
  CpuFeatures features = 0;
  const Registers one = cpuid(1), seven = cpuid(7), seven_one = cpuid(7, 1);
  auto set = [&](bool present, CpuFeature feature) {
    if (present) features |= feature;
  };
  set(bit(one.ecx, 20), kSse42);
  const uint64_t states = bit(one.ecx, 27) ? saved_states() : 0;
  if ((states & kAvxState) == kAvxState && bit(one.ecx, 28)) {
    set(true, kAvx);
    set(bit(one.ecx, 12), kFma);
    set(bit(one.ecx, 29), kF16c);
    set(bit(seven.ebx, 5), kAvx2);
    set(bit(seven_one.eax, 4), kAvxvnni);
  }
  if ((states & kAvx512State) == kAvx512State && bit(seven.ebx, 16)) {
    set(true, kAvx512f);
    set(bit(seven.ebx, 17), kAvx512dq);
    set(bit(seven.ebx, 28), kAvx512cd);
    set(bit(seven.ebx, 30), kAvx512bw);
    set(bit(seven.ebx, 31), kAvx512vl);
    set(bit(seven.ecx, 1), kAvx512vbmi);
    set(bit(seven.ecx, 11), kAvx512vnni);
    set(bit(seven_one.eax, 5), kAvx512bf16);
  }
  return features;
}

std::string brand_from_cpu() {
  if (cpuid(0x80000000).eax < 0x80000004) return {};
  std::array<char, 48> text;
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002 + i);
    std::memcpy(text.data() + i * sizeof(r), &r, sizeof(r));
  }
  return std::string(text.data(), strnlen(text.data(), text.size()));
}

#elif defined(__aarch64__)

// Bit numbers: Linux arch/arm64/include/uapi/asm/hwcap.h (part of the kernel's ABI).
CpuFeatures detect() {
  const unsigned long hwcap = getauxval(AT_HWCAP), hwcap2 = getauxval(AT_HWCAP2);
  CpuFeatures features = 0;
  auto set = [&](unsigned long word, int index, CpuFeature feature) {
    if ((word >> index & 1) != 0) features |= feature;
  };
  set(hwcap, 1, kNeon);
  set(hwcap, 8, kAtomics);
  set(hwcap, 10, kFp16);
  set(hwcap, 20, kDotprod);
  set(hwcap, 22, kSve);
  set(hwcap2, 1, kSve2);
  set(hwcap2, 13, kI8mm);
  set(hwcap2, 14, kBf16);
  return features;
}

std::string brand_from_cpu() {
  return {};
}

#else
CpuFeatures detect() {
  return 0;
}

std::string brand_from_cpu() {
  return {};
}
#endif

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

// x86 has a "model name" for each CPU; ARM boards have one "Model" of the board at the end.
std::string brand_from_proc() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = trimmed(std::string_view(line).substr(0, colon));
    if (key == "model name" || key == "Model") {
      return trimmed(std::string_view(line).substr(colon + 1));
    }
  }
  return {};
}

}  // namespace

CpuFeatures detect_cpu_features() {
  return detect();
}

std::string cpu_brand() {
  std::string brand = trimmed(brand_from_cpu());
  if (brand.empty()) brand = brand_from_proc();
  return brand.empty() ? "unknown" : brand;
}

std::vector<std::string_view> feature_names(CpuFeatures features) {
  std::vector<std::string_view> names;
  for (const FeatureName& row : kNames) {
    if ((features & row.feature) != 0) names.push_back(row.name);
  }
  return names;
}

}  // namespace nibble
