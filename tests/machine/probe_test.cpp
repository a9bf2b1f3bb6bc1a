// The probes give plausible figures for every thread count and ISA level.
#include "runtime/machine/probe.h"

#include <gtest/gtest.h>

#include "simd/registry.h"

namespace nibble {
namespace {

TEST(Probe, ReadBandwidthIsPlausible) {
  for (int threads : {1, 2, 3}) {
    const Result<double> rate = probe_read_gb_per_s(threads, 8 << 20);
    ASSERT_TRUE(rate.ok()) << rate.error().message;
    EXPECT_GT(*rate, 0.01) << threads;
    EXPECT_LT(*rate, 100000) << threads;
  }
}

TEST(Probe, ReadBandwidthRefusesImpossibleMemory) {
  const Result<double> rate = probe_read_gb_per_s(1, size_t{1} << 60);
  ASSERT_FALSE(rate.ok());
  EXPECT_NE(rate.error().message.find("bandwidth probe"), std::string::npos)
      << rate.error().message;
}

TEST(Probe, Int8PeakOfEveryUsableLevel) {
  const CpuFeatures present = detect_cpu_features();
  for (const IsaLevel& level : isa_levels()) {
    if ((level.required & ~present) != 0) continue;
    const double rate = probe_int8_gmac_per_s(1, level.required);
    EXPECT_GT(rate, 0.01) << level.name;
    EXPECT_LT(rate, 100000) << level.name;
  }
  EXPECT_GT(probe_int8_gmac_per_s(2, present), 0.01);
}

// The count of multiply-accumulates grows with the rounds, and so does the time: nothing was
// folded.
TEST(Probe, PeakKernelsCountTheirWork) {
  const CpuFeatures present = detect_cpu_features();
  for (const Kernel& kernel : all_kernels()) {
    if (kernel.entry->op != Op::kPeak || (kernel.level->required & ~present) != 0) continue;
    PeakArgs once = {.rounds = 1, .macs = 0, .sink = 0};
    PeakArgs thrice = {.rounds = 3, .macs = 0, .sink = 0};
    kernel.entry->fn.peak(&once);
    kernel.entry->fn.peak(&thrice);
    EXPECT_GT(once.macs, 0u) << kernel.id();
    EXPECT_EQ(thrice.macs, 3 * once.macs) << kernel.id();
  }
}

}  // namespace
}  // namespace nibble
