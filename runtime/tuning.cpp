#include "runtime/tuning.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <set>

#include "runtime/machine/memory.h"
#include "runtime/machine/thread_team.h"
#include "runtime/ops/kernel_set.h"
#include "runtime/ops/ops.h"
#include "simd/layout.h"
#include "simd/registry.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kDepth = 2048;
constexpr size_t kRows = 128 * 1024;      // 151 MB: more than caches hold
constexpr size_t kPromptRows = 8 * 1024;  // of them
constexpr size_t kPromptTokens = 128;
constexpr int kPasses = 7;
constexpr size_t kMostLevels = 3;
constexpr double kAsGood = 0.97;
constexpr double kWorthSwitching = 1.05;

// A level, and the features that choose its kernels.
struct Level {
  std::string name;
  CpuFeatures features;
};

std::vector<Level> candidate_levels(CpuFeatures detected) {
  const Kernel* usual = select_kernel(Op::kMatmul, Format::kQ4_0, detected);
  std::vector<Level> levels = {{std::string(usual->level->name), detected}};
  const auto all = isa_levels();
  for (auto level = all.rbegin(); level != all.rend() && levels.size() < kMostLevels; ++level) {
    CpuFeatures features = 0;
    std::string problem;
    if (level->name == "scalar" || level->name == usual->level->name ||
        !features_for_isa(level->name, detected, &features, &problem)) {
      continue;
    }
    const Kernel* kernel = select_kernel(Op::kMatmul, Format::kQ4_0, features);
    if (kernel->level->name == level->name) levels.push_back({std::string(level->name), features});
  }
  return levels;
}

// Weights that are the same in every tile, in a level's layout, and what is multiplied with them.
class Workload {
 public:
  static Result<std::unique_ptr<Workload>> create(const Level& level, ThreadTeam& team) {
    std::unique_ptr<Workload> work(new Workload(level));
    PackedMatrix& w = work->weights_;
    w.kernel = &work->kernels_.entry(Op::kMatmul, Format::kQ4_0);
    w.format = Format::kQ4_0;
    w.n = kRows;
    w.k = kDepth;
    const size_t tile = w.kernel->tile_n;
    w.tile_bytes = packed_bytes(Format::kQ4_0, w.kernel->layout, tile, kDepth);
    NIBBLE_TRY(work->memory_, Buffer::allocate(kRows / tile * w.tile_bytes, "the trial's weights"));
    w.data = work->memory_.as();
    const std::vector<uint8_t> pattern = packed_tile(w);
    team.run([&](int worker) {
      const Range range = split_range(kRows / tile, 1, worker, team.size());
      for (size_t i = range.begin; i < range.end; ++i) {
        std::memcpy(work->memory_.as() + i * w.tile_bytes, pattern.data(), pattern.size());
      }
    });
    NIBBLE_TRY(work->scratch_, OpsScratch::create({kPromptTokens, kDepth, 1, 64, 128}));
    NIBBLE_TRY(work->x_, Buffer::allocate(kPromptTokens * kDepth * sizeof(float), "the trial"));
    NIBBLE_TRY(work->y_,
               Buffer::allocate(kPromptTokens * kPromptRows * sizeof(float), "the trial"));
    std::mt19937 random(1);
    std::uniform_real_distribution<float> value(-1, 1);
    for (size_t i = 0; i < kPromptTokens * kDepth; ++i) work->x_.as<float>()[i] = value(random);
    return work;
  }

  TuneTrial run(ThreadTeam& team, const std::string& isa) {
    Ops ops(team, kernels_, scratch_);
    const Rows token{x_.as<float>(), 1, kDepth, kDepth};
    const Rows tokens{x_.as<float>(), kPromptTokens, kDepth, kDepth};
    PackedMatrix part = weights_;
    part.n = kPromptRows;
    const double decode_s = best_seconds([&] {
      ops.matmul(token, {{&weights_, {y_.as<float>(), 1, kRows, kRows}}});
    });
    const double prompt_s = best_seconds([&] {
      ops.matmul(tokens, {{&part, {y_.as<float>(), kPromptTokens, kPromptRows, kPromptRows}}});
    });
    team.rest();
    return {isa, team.size(), 1e-9 * static_cast<double>(weights_.bytes()) / decode_s,
            1e-9 * static_cast<double>(kPromptTokens * kPromptRows * kDepth) / prompt_s};
  }

 private:
  explicit Workload(const Level& level) : kernels_(level.features) {}

  static std::vector<uint8_t> packed_tile(const PackedMatrix& w) {
    const size_t tile = w.kernel->tile_n;
    const size_t stride = row_bytes(Format::kQ4_0, kDepth);
    const FormatInfo& info = format_info(Format::kQ4_0);
    std::vector<uint8_t> source(tile * stride);
    std::mt19937 random(2);
    for (uint8_t& byte : source) byte = static_cast<uint8_t>(random());
    constexpr uint16_t kScale = 0x2000;  // 2^-7
    for (size_t at = 0; at < source.size(); at += info.block_bytes) {
      std::memcpy(source.data() + at + info.scale_at, &kScale, sizeof(kScale));
    }
    if (w.kernel->layout == Layout::kRowMajor) return source;
    std::vector<uint8_t> packed(w.tile_bytes);
    pack_rows(Format::kQ4_0, w.kernel->layout, source.data(), tile, kDepth, packed.data());
    return packed;
  }

  template <typename F>
  static double best_seconds(const F& pass) {
    double best = HUGE_VAL;
    for (int i = 0; i <= kPasses; ++i) {  // the first warms up
      const Clock::time_point start = Clock::now();
      pass();
      if (i == 0) continue;
      best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
    }
    return best;
  }

  KernelSet kernels_;
  PackedMatrix weights_;
  Buffer memory_, x_, y_;
  OpsScratch scratch_;
};

// The best speed of a level's trials, and the threads to take.
struct Best {
  int threads = 0;
  double speed = 0;
};
Best best_of(std::span<const TuneTrial> trials, std::string_view isa, int usual_threads,
             double TuneTrial::*speed) {
  Best best;
  double usual = 0;
  for (const TuneTrial& trial : trials) {
    if (trial.isa != isa) continue;
    best.speed = std::max(best.speed, trial.*speed);
    if (trial.threads == usual_threads) usual = trial.*speed;
  }
  if (usual * kWorthSwitching >= best.speed) return {usual_threads, best.speed};
  for (const TuneTrial& trial : trials) {
    if (trial.isa != isa || trial.*speed < kAsGood * best.speed) continue;
    if (best.threads == 0 || trial.threads < best.threads) best.threads = trial.threads;
  }
  return best;
}

}  // namespace

std::vector<int> tune_thread_counts(const Topology& topology) {
  int most = std::max<int>(1, static_cast<int>(topology.cpus.size()));
  if (topology.cpu_quota > 0) most = std::clamp(static_cast<int>(topology.cpu_quota), 1, most);
  std::set<int> counts = {topology.default_threads(), topology.cores, most};
  for (int i = 1; i <= most; i = i < 4 ? i + 1 : 2 * i) counts.insert(i);
  counts.erase(counts.upper_bound(most), counts.end());
  return {counts.begin(), counts.end()};
}

Result<std::vector<TuneTrial>> run_tune_trials(const Topology& topology, CpuFeatures features,
                                               const std::function<bool()>& go_on) {
  std::vector<std::unique_ptr<ThreadTeam>> teams;
  for (const int threads : tune_thread_counts(topology)) {
    NIBBLE_TRY(auto team, ThreadTeam::create(threads));
    team->rest();
    teams.push_back(std::move(team));
  }
  std::vector<TuneTrial> trials;
  for (const Level& level : candidate_levels(features)) {
    NIBBLE_TRY(const auto work, Workload::create(level, *teams.back()));
    teams.back()->rest();
    for (const auto& team : teams) {
      if (!go_on()) return trials;
      trials.push_back(work->run(*team, level.name));
    }
  }
  return trials;
}

TuneChoice choose_tuning(std::span<const TuneTrial> trials, int usual_threads) {
  if (trials.empty()) return {};
  const std::string& usual = trials.front().isa;
  TuneChoice choice;
  double best = 0;
  for (const TuneTrial& trial : trials) {
    const Best decode = best_of(trials, trial.isa, usual_threads, &TuneTrial::decode_gb_per_s);
    const Best prompt = best_of(trials, trial.isa, usual_threads, &TuneTrial::prompt_gmac_per_s);
    double speed = std::sqrt(decode.speed * prompt.speed);
    if (trial.isa == usual) speed *= kWorthSwitching;
    if (speed <= best) continue;
    best = speed;
    choice = {trial.isa == usual ? "" : trial.isa, decode.threads, prompt.threads};
  }
  return choice;
}

}  // namespace nibble
