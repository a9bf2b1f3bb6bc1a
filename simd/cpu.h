// CPU features, as the operating system lets us use them, and the ISA levels made of them.
//
// x86: CPUID and XGETBV (a CPU that has AVX under a system that does not save its registers must
// not use it). ARM: HWCAP / HWCAP2. Read next: registry.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

// Feature bits. Names in isa.cmake files are these without the k, in lower case.
enum CpuFeature : uint64_t {
  kSse42 = 1ull << 0,
  kAvx = 1ull << 1,
  kAvx2 = 1ull << 2,
  kFma = 1ull << 3,
  kF16c = 1ull << 4,
  kAvxvnni = 1ull << 5,
  kAvx512f = 1ull << 6,
  kAvx512bw = 1ull << 7,
  kAvx512dq = 1ull << 8,
  kAvx512vl = 1ull << 9,
  kAvx512cd = 1ull << 10,
  kAvx512vnni = 1ull << 11,
  kAvx512bf16 = 1ull << 12,
  kAvx512vbmi = 1ull << 13,
  kNeon = 1ull << 32,
  kDotprod = 1ull << 33,
  kI8mm = 1ull << 34,
  kFp16 = 1ull << 35,
  kSve = 1ull << 36,
  kSve2 = 1ull << 37,
  kBf16 = 1ull << 38,
  kAtomics = 1ull << 39,
};
using CpuFeatures = uint64_t;

// Features of the running machine, usable in user space. Reads CPUID each time (cheap).
CpuFeatures detect_cpu_features();

// "AMD EPYC 9R14", from CPUID or /proc/cpuinfo; "unknown" if neither tells.
std::string cpu_brand();

// Names of the features set, in bit order.
std::vector<std::string_view> feature_names(CpuFeatures features);

}  // namespace nibble
