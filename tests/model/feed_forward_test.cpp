// A feed-forward block has the same bits whichever way it goes: many tokens at once, which never
// see the hidden rows as floats; watched by an observer, which must; and token by token.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "runtime/ops/ops.h"
#include "simd/layout.h"

namespace nibble {
namespace {

constexpr size_t kEmbedding = 96;
constexpr size_t kHidden = 672;  // not a multiple of what a thread takes at once

// A random matrix in Q4_0, packed for its kernel.
class Matrix {
 public:
  Matrix(const KernelSet& kernels, size_t n, size_t k, std::mt19937* random) {
    std::normal_distribution<float> normal;
    std::vector<uint8_t> rows;
    for (size_t i = 0; i < n; ++i) {
      std::vector<float> row(k);
      for (float& value : row) value = normal(*random);
      std::vector<uint8_t> blocks(k / NIBBLE_BLOCK * 18);
      float error_squares;
      const ToQ4_0Args args{row.data(), k, blocks.data(), &error_squares};
      kernels.fn(Op::kToQ4_0).to_q4_0(&args);
      rows.insert(rows.end(), blocks.begin(), blocks.end());
    }
    const KernelEntry& kernel = kernels.entry(Op::kMatmul, Format::kQ4_0);
    packed_.resize(packed_bytes(Format::kQ4_0, kernel.layout, n, k));
    pack_rows(Format::kQ4_0, kernel.layout, rows.data(), n, k, packed_.data());
    const size_t tile_bytes = packed_bytes(Format::kQ4_0, kernel.layout, kernel.tile_n, k);
    view = {&kernel, Format::kQ4_0, n, k, packed_.data(), tile_bytes};
  }

  PackedMatrix view;

 private:
  std::vector<uint8_t> packed_;
};

struct Counter final : MatmulObserver {
  void see(const PackedMatrix& /*w*/, const Rows& /*x*/) override { ++seen; }
  int seen = 0;
};

class FeedForwardTest : public testing::TestWithParam<int> {};

TEST_P(FeedForwardTest, HasTheSameBitsOnEveryWay) {
  constexpr size_t kTokens = 43;  // two panels and a part
  const KernelSet kernels(detect_cpu_features());
  auto team = ThreadTeam::create(GetParam());
  ASSERT_TRUE(team);
  auto scratch = OpsScratch::create({kTokens, kHidden, 1, 32, 128});
  ASSERT_TRUE(scratch);
  Ops ops(**team, kernels, *scratch);
  std::mt19937 random(1);
  const Matrix gate(kernels, kHidden, kEmbedding, &random);
  const Matrix up(kernels, kHidden, kEmbedding, &random);
  const Matrix down(kernels, kEmbedding, kHidden, &random);
  std::normal_distribution<float> normal;
  std::vector<float> x(kTokens * kEmbedding);
  for (float& value : x) value = normal(random);
  std::vector<float> a(kTokens * kHidden), b(kTokens * kHidden);

  // The result for the tokens from `first` on.
  const auto run = [&](size_t first, size_t count) {
    std::vector<float> out(count * kEmbedding, -1.0f);
    ops.feed_forward({x.data() + first * kEmbedding, count, kEmbedding, kEmbedding},
                     {&gate.view, &up.view, &down.view, Gate::kGelu},
                     {a.data(), count, kHidden, kHidden}, {b.data(), count, kHidden, kHidden},
                     {out.data(), count, kEmbedding, kEmbedding});
    return out;
  };
  const std::vector<float> together = run(0, kTokens);
  Counter counter;
  ops.set_observer(&counter);
  EXPECT_EQ(run(0, kTokens), together);
  EXPECT_EQ(counter.seen, 3);
  ops.set_observer(nullptr);
  std::vector<float> apart;
  for (size_t t = 0; t < kTokens; ++t) {
    const std::vector<float> one = run(t, 1);
    apart.insert(apart.end(), one.begin(), one.end());
  }
  EXPECT_EQ(apart, together);
}

INSTANTIATE_TEST_SUITE_P(Threads, FeedForwardTest, testing::Values(1, 2, 3, 7));

}  // namespace
}  // namespace nibble
