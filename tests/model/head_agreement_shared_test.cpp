// The screened head against the full one on real text with real models: how often the likeliest
// token and the 40 likeliest are the same, and how far the distributions over those 40 are apart.
// The figures are in tools/docs/decisions/0003-screened-head.md. Read next: head_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <sstream>

#include "nibble/nibble.h"
#include "runtime/engine_impl.h"
#include "runtime/judge/chunks.h"
#include "runtime/model_impl.h"
#include "runtime/sampler.h"

namespace nibble {
namespace {

constexpr size_t kTop = 40;
constexpr size_t kCtx = 256;
constexpr size_t kMostChunks = 64;  // of each text

// What Session holds, without it: the hidden states are wanted, to give them to both heads.
class HiddenStates {
 public:
  HiddenStates(const Model& model, Engine& engine)
      : network_(model.impl().network),
        cache_(*KvCache::create(network_.shape().kv_shape(), kCtx, kCtx, Format::kF16)),
        scratch_(*OpsScratch::create(
            {kCtx, depth(), network_.shape().heads, network_.shape().head_dim, kCtx})),
        memory_(*Buffer::allocate(Activations::bytes(network_.shape(), kCtx), "activations")),
        ops_(*engine.impl().team, engine.impl().kernels, scratch_) {
    activations_.bind(network_.shape(), kCtx, memory_.as<float>());
  }

  // Of each token of `ids`, at most kCtx.
  Rows of(std::span<const int32_t> ids) {
    activations_.resize(ids.size());
    const Segment all{&cache_, 0, ids.size(), ids.size()};
    Pass pass{ops_, activations_, ids, {&all, 1}};
    network_.forward(pass);
    return activations_.x;
  }

  // The logits of one state, which is left as it was.
  std::vector<float> logits(const Rows& states, size_t row, size_t top) {
    std::vector<float> x(states.row(row), states.row(row) + states.cols);
    std::vector<float> out(network_.shape().vocabulary);
    network_.logits(ops_, {x.data(), 1, x.size(), x.size()},
                    {out.data(), 1, out.size(), out.size()}, top);
    return out;
  }
  size_t exact_rows() const { return ops_.exact_head_rows(); }

 private:
  size_t depth() const {
    const ModelShape& shape = network_.shape();
    return std::max({shape.embedding, shape.heads * shape.head_dim, shape.feed_forward});
  }

  const Network& network_;
  KvCache cache_;
  OpsScratch scratch_;
  Buffer memory_;
  Activations activations_;
  Ops ops_;
};

std::vector<size_t> best(const std::vector<float>& logits) {
  std::vector<size_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::partial_sort(ids.begin(), ids.begin() + kTop, ids.end(), [&](size_t a, size_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  });
  ids.resize(kTop);
  return ids;
}

// Over the tokens `ids` alone, as top-k sampling renormalises them.
double divergence(const std::vector<float>& p, const std::vector<float>& q,
                  const std::vector<size_t>& ids) {
  const auto log_sum = [&](const std::vector<float>& logits) {
    double sum = 0;
    for (const size_t id : ids) sum += std::exp(static_cast<double>(logits[id]) - logits[ids[0]]);
    return std::log(sum) + logits[ids[0]];
  };
  const double p_sum = log_sum(p);
  const double q_sum = log_sum(q);
  double sum = 0;
  for (const size_t id : ids) sum += std::exp(p[id] - p_sum) * ((p[id] - p_sum) - (q[id] - q_sum));
  return sum;
}

struct Agreement {
  size_t positions = 0;
  size_t greedy = 0;
  size_t sets = 0;
  double divergence = 0;  // sum; over the exact 40, with what the screened head says of them
  double rows = 0;        // sum of the rows computed exactly, for 40
};

Agreement measure(const Model& model, Engine& engine, const std::string& text) {
  Agreement result;
  const auto chunks = cut_text(model, text, kCtx, kMostChunks);
  EXPECT_TRUE(chunks);
  if (!chunks) return result;
  const std::lock_guard lock(engine.impl().regions);
  HiddenStates hidden(model, engine);
  for (size_t c = 0; c < chunks->count(); ++c) {
    const Rows states = hidden.of((*chunks)[c]);
    for (size_t row = 0; row < kCtx; ++row) {
      const std::vector<float> exact = hidden.logits(states, row, 0);
      const std::vector<float> one = hidden.logits(states, row, 1);
      const std::vector<float> forty = hidden.logits(states, row, kTop);
      result.rows += static_cast<double>(hidden.exact_rows());
      const std::vector<size_t> ids = best(exact);
      result.greedy += argmax(one) == static_cast<int32_t>(ids[0]) ? 1 : 0;
      result.sets += best(forty) == ids ? 1 : 0;
      result.divergence += divergence(exact, forty, ids);
      ++result.positions;
    }
  }
  return result;
}

TEST(HeadAgreementSharedTest, RealTextGivesTheSameTokens) {
  auto engine = Engine::create({.threads = 1, .isa = ""});
  ASSERT_TRUE(engine);
  for (const char* file :
       {"stories-gemma3-f16.gguf", "stories-gemma3-qat-q4_0.gguf", "stories260K-f32.gguf"}) {
    auto model = Model::load(*engine, NIBBLE_SHARED_DATA "/models/" + std::string(file));
    ASSERT_TRUE(model) << model.error().message;
    Model::Impl& impl = (*model)->impl();
    ASSERT_TRUE(impl.network.head().build_screen((*engine)->impl().kernels, *(*engine)->impl().team,
                                                 impl.file, 0));
    ASSERT_TRUE(impl.network.head().has_screen());
    for (const char* name : {"stories-valid.txt", "tinyshakespeare.txt", "wiki.test.raw"}) {
      std::ifstream in(NIBBLE_SHARED_DATA "/text/" + std::string(name), std::ios::binary);
      std::stringstream text;
      text << in.rdbuf();
      const Agreement a = measure(**model, **engine, text.str());
      const auto positions = static_cast<double>(a.positions);
      std::printf(
          "%-30s %-20s %6zu positions, greedy %.4f %%, top 40 %.4f %%, KL %.2e, %.0f rows\n", file,
          name, a.positions, 100 * static_cast<double>(a.greedy) / positions,
          100 * static_cast<double>(a.sets) / positions, a.divergence / positions,
          a.rows / positions);
      EXPECT_GE(static_cast<double>(a.greedy), 0.999 * positions);
      EXPECT_GE(static_cast<double>(a.sets), 0.999 * positions);
      EXPECT_LT(a.divergence / positions, 1e-6);
    }
  }
}

}  // namespace
}  // namespace nibble
