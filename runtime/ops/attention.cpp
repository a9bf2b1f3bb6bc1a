// Attention of one layer: norm, rotate and store the new keys, then run query rows over key blocks.
//
// The query heads that share a kv head are rows of one task, so that keys and values are loaded
// once for all of them. Prefill shares tiles of rows among the threads; decode, which has few rows,
// shares the key blocks and merges them afterwards. Both merge blocks in order of position, so the
// result does not depend on the way taken, nor on what other conversations are evaluated along with
// it: each segment has its own rows, cache and states. Read next: simd/attention_inl.h (the
// kernel).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/machine/placement.h"
#include "runtime/ops/ops.h"
#include "simd/layout.h"

namespace nibble {
namespace {

// Rows of one task: enough to reuse a key block from L2, few enough for their state to stay in L1.
constexpr size_t kTileRows = 32;

size_t ceil_div(size_t a, size_t b) {
  return (a + b - 1) / b;
}

// Bytes of the Q8 panels of one batch, of its query rows, and of the attention states.
struct ScratchBytes {
  explicit ScratchBytes(const OpsScratch::Sizes& sizes)
      : panels(
            activation_bytes(sizes.batch, ceil_div(sizes.max_depth, NIBBLE_BLOCK) * NIBBLE_BLOCK)),
        q_rows(sizes.batch * sizes.heads * sizes.head_dim * sizeof(float)),
        states(sizes.heads * std::max(sizes.batch, ceil_div(sizes.context, NIBBLE_KEY_BLOCK)) *
               (sizes.head_dim + 2) * sizeof(float)) {}
  size_t panels, q_rows, states;
};

}  // namespace

uint64_t OpsScratch::bytes(const Sizes& sizes) {
  const ScratchBytes bytes(sizes);
  return 2 * bytes.panels + bytes.q_rows + bytes.states;
}

Result<OpsScratch> OpsScratch::create(const Sizes& sizes) {
  const ScratchBytes bytes(sizes);
  OpsScratch scratch;
  scratch.states_bytes = bytes.states;
  NIBBLE_TRY(scratch.quantized, Buffer::allocate(bytes.panels, "quantised activations"));
  NIBBLE_TRY(scratch.hidden, Buffer::allocate(bytes.panels, "quantised hidden rows"));
  NIBBLE_TRY(scratch.q_rows, Buffer::allocate(bytes.q_rows, "query rows"));
  NIBBLE_TRY(scratch.states, Buffer::allocate(bytes.states, "attention states"));
  return scratch;
}

void OpsScratch::place(int node) const {
  for (const Buffer* buffer : {&quantized, &hidden, &q_rows, &states}) {
    place_pages(buffer->as(), buffer->size(), {&node, 1});
  }
}

// The attention of one segment, whose first row is row `first` of the step.
class AttentionRun {
 public:
  AttentionRun(Ops& ops, const AttentionArgs& args, const Segment& segment, size_t first, Rows q,
               Rows k, Rows v, Rows out)
      : team_(ops.team_),
        kernels_(ops.kernels_),
        a_(args),
        cache_(*segment.cache),
        position_(segment.position),
        first_(first),
        q_(q),
        k_(k),
        v_(v),
        out_(out),
        m_(segment.m),
        group_(args.heads / args.kv_heads),
        rows_(m_ * group_),
        window_(cache_.window(args.layer)),
        q_rows_(ops.scratch_.q_rows.as<float>() + first * args.heads * args.head_dim),
        states_(ops.scratch_.states.as<float>()),
        state_capacity_(ops.scratch_.states_bytes / sizeof(float) / (args.head_dim + 2)) {}

  size_t tokens() const { return m_; }
  size_t tiles() const { return ceil_div(m_, tile_tokens()); }
  size_t tasks() const { return a_.kv_heads * tiles(); }

  // All of it, by the whole team.
  void run(Ops& ops) const {
    const size_t first = block_of(first_key(0));
    const size_t blocks = block_of(last_key(m_ - 1)) - first + 1;
    const auto threads = static_cast<size_t>(team_.size());
    if (tasks() < threads && blocks > 1 && a_.kv_heads * rows_ * blocks <= state_capacity_) {
      run_by_blocks(ops, first, blocks);
    } else if (tasks() == 1) {
      run_task(0);
    } else {
      team_.run_dynamic(tasks(), 1, [&](Range range, int) {
        for (size_t number = range.begin; number < range.end; ++number) run_task(number);
      });
    }
  }

  // Normalises and rotates token t's heads; queries go to q_rows_ by kv head, keys and values into
  // the cache.
  void prepare(size_t t) const {
    const size_t hd = a_.head_dim;
    const float query_scale = a_.scale * temperature(last_key(t));
    for (size_t head = 0; head < a_.heads; ++head) {
      float* source = q_.row(first_ + t) + head * hd;
      float* target = q_rows_ + ((head / group_) * rows_ + t * group_ + head % group_) * hd;
      if (a_.q_norm != nullptr) {
        normalize(source, a_.q_norm, target);
      } else {
        std::memcpy(target, source, hd * sizeof(float));
      }
      rotate(target, t);
      const UnaryArgs scale{target, nullptr, hd, query_scale};
      kernels_.fn(Op::kScale).unary(&scale);
    }
    const auto position = static_cast<size_t>(last_key(t));
    for (size_t head = 0; head < a_.kv_heads; ++head) {
      float* key = k_.row(first_ + t) + head * hd;
      if (a_.k_norm != nullptr) normalize(key, a_.k_norm, key);
      rotate(key, t);
      const size_t block = position / NIBBLE_KEY_BLOCK;
      const ToKvArgs store{key,
                           v_.row(first_ + t) + head * hd,
                           cache_.k_block(a_.layer, head, block),
                           cache_.v_block(a_.layer, head, block),
                           position % NIBBLE_KEY_BLOCK,
                           hd};
      kernels_.fn(Op::kToKv, cache_.format()).to_kv(&store);
    }
  }

  // One kv head's queries of one tile of tokens over all their key blocks.
  void run_task(size_t number) const {
    const size_t head = number / tiles();
    // Late tokens see more keys: give out the long tasks first.
    const size_t t0 = (tiles() - 1 - number % tiles()) * tile_tokens();
    const size_t t1 = std::min(m_, t0 + tile_tokens());
    const size_t index = first_ * a_.heads + head * rows_ + t0 * group_;
    clear(index, (t1 - t0) * group_);
    for (size_t b = block_of(first_key(t0)); b <= block_of(last_key(t1 - 1)); ++b) {
      attend(head, t0, t1, b, index);
    }
    for (size_t t = t0; t < t1; ++t) finish(head, t, index + (t - t0) * group_);
  }

 private:
  // State of one row: where its running maximum, sum and output are.
  struct State {
    float* max;
    float* sum;
    float* out;
  };
  State state(size_t index) const {
    return {states_ + index, states_ + state_capacity_ + index,
            states_ + 2 * state_capacity_ + index * a_.head_dim};
  }
  void clear(size_t index, size_t count) const {
    const State s = state(index);
    std::fill_n(s.max, count, -std::numeric_limits<float>::infinity());
    std::fill_n(s.sum, count, 0.0f);
    std::fill_n(s.out, count * a_.head_dim, 0.0f);
  }

  int64_t last_key(size_t t) const { return position_ + static_cast<int64_t>(t); }
  int64_t first_key(size_t t) const {
    if (window_ == 0) return 0;
    return std::max<int64_t>(0, last_key(t) - static_cast<int64_t>(window_) + 1);
  }
  size_t tile_tokens() const { return std::max<size_t>(1, kTileRows / group_); }
  static size_t block_of(int64_t key) { return static_cast<size_t>(key) / NIBBLE_KEY_BLOCK; }

  float temperature(int64_t position) const {
    if (a_.temperature == 0) return 1;
    const auto lengths = static_cast<double>(position / a_.temperature_length);
    return static_cast<float>(1 + a_.temperature * std::log(1 + lengths));
  }

  void normalize(const float* x, const float* weight, float* y) const {
    const NormArgs args{x, weight, y, a_.head_dim, a_.norm_eps, 0};
    kernels_.fn(Op::kRmsNorm).norm(&args);
  }

  void rotate(float* x, size_t t) const {
    if (a_.rope == nullptr) return;
    const size_t half = a_.rope->n_rot / 2;
    const size_t at = (first_ + t) * half;
    const RopeArgs args{x, a_.rope->cos.data() + at, a_.rope->sin.data() + at, a_.rope->n_rot};
    kernels_.fn(a_.style == RopeStyle::kNeox ? Op::kRopeNeox : Op::kRopeNorm).rope(&args);
  }

  // Query rows of tokens [t0, t1) of one kv head against one key block, into states from `index`.
  void attend(size_t head, size_t t0, size_t t1, size_t block, size_t index) const {
    int32_t begin[kTileRows];
    int32_t end[kTileRows];
    const size_t tokens_at_once = tile_tokens();
    for (size_t t = t0; t < t1; t += tokens_at_once) {
      const size_t stop = std::min(t1, t + tokens_at_once);
      // A group larger than a tile goes in parts; the usual group fits whole.
      for (size_t part = 0; part < group_; part += kTileRows) {
        const size_t heads = std::min(group_ - part, kTileRows);
        size_t rows = 0;
        bool any = false;
        for (size_t token = t; token < stop; ++token) {
          const auto base = static_cast<int64_t>(block * NIBBLE_KEY_BLOCK);
          const auto b = static_cast<int32_t>(
              std::clamp<int64_t>(first_key(token) - base, 0, NIBBLE_KEY_BLOCK));
          const auto e = static_cast<int32_t>(
              std::clamp<int64_t>(last_key(token) + 1 - base, 0, NIBBLE_KEY_BLOCK));
          any |= b < e;
          for (size_t j = 0; j < heads; ++j, ++rows) {
            begin[rows] = b;
            end[rows] = e;
          }
        }
        if (!any) continue;
        const size_t row = t * group_ + part;
        const State s = state(index + row - t0 * group_);
        const AttendArgs args{q_rows_ + (head * rows_ + row) * a_.head_dim,
                              a_.head_dim,
                              cache_.k_block(a_.layer, head, block),
                              cache_.v_block(a_.layer, head, block),
                              begin,
                              end,
                              s.max,
                              s.sum,
                              s.out,
                              a_.head_dim,
                              rows,
                              a_.head_dim,
                              a_.softcap};
        kernels_.fn(Op::kAttend, cache_.format()).attend(&args);
      }
    }
  }

  // Divides token t's rows by their sums and puts them where the output projection reads them.
  void finish(size_t head, size_t t, size_t index) const {
    for (size_t j = 0; j < group_; ++j) {
      const State s = state(index + j);
      float* target = out_.row(first_ + t) + (head * group_ + j) * a_.head_dim;
      std::memcpy(target, s.out, a_.head_dim * sizeof(float));
      const UnaryArgs scale{target, nullptr, a_.head_dim, 1.0f / *s.sum};
      kernels_.fn(Op::kScale).unary(&scale);
    }
  }

  void run_by_blocks(Ops& ops, size_t first, size_t blocks) const {
    const size_t tasks = a_.kv_heads * blocks;
    team_.run([&](int worker) {
      const Range mine = team_.range(tasks, 1, worker);
      for (size_t i = mine.begin; i < mine.end; ++i) {
        clear(i * rows_, rows_);
        attend(i / blocks, 0, m_, first + i % blocks, i * rows_);
      }
    });
    ops.each_row(a_.kv_heads * m_, a_.kv_heads * rows_ * blocks * a_.head_dim,
                 [&](size_t i) { merge(i / m_, i % m_, first, blocks); });
  }

  // Merges the blocks' states of token t's rows into that of its first block with keys.
  void merge(size_t head, size_t t, size_t first, size_t blocks) const {
    const size_t from = block_of(first_key(t)) - first;
    const size_t to = block_of(last_key(t)) - first;
    const size_t base = head * blocks * rows_ + t * group_;
    for (size_t b = from + 1; b <= to; ++b) {
      for (size_t j = 0; j < group_; ++j) {
        const State into = state(base + from * rows_ + j);
        const State other = state(base + b * rows_ + j);
        const AttendMergeArgs args{into.max,  into.sum,  into.out,   other.max,
                                   other.sum, other.out, a_.head_dim};
        kernels_.fn(Op::kAttendMerge).merge(&args);
      }
    }
    finish(head, t, base + from * rows_);
  }

  ThreadTeam& team_;
  const KernelSet& kernels_;
  const AttentionArgs& a_;
  KvCache& cache_;
  int64_t position_;
  size_t first_;
  Rows q_, k_, v_, out_;
  size_t m_, group_, rows_, window_;
  float* q_rows_;
  float* states_;
  size_t state_capacity_;
};

void Ops::attention(const AttentionArgs& args, std::span<const Segment> segments, Rows q, Rows k,
                    Rows v, Rows out) {
  // Calls use(run, i) for number i of the things that the segments have count(run) of each.
  const auto locate = [&](size_t i, auto count, auto use) {
    size_t first = 0;
    for (const Segment& segment : segments) {
      const AttentionRun run(*this, args, segment, first, q, k, v, out);
      if (i < count(run)) return use(run, i);
      i -= count(run);
      first += segment.m;
    }
  };
  each_row(q.m, q.m * q.cols, [&](size_t t) {
    locate(
        t, [](const AttentionRun& run) { return run.tokens(); },
        [](const AttentionRun& run, size_t i) { run.prepare(i); });
  });
  const auto tasks_of = [](const AttentionRun& run) { return run.tasks(); };
  size_t tasks = 0;
  size_t first = 0;
  for (const Segment& segment : segments) {
    tasks += AttentionRun(*this, args, segment, first, q, k, v, out).tasks();
    first += segment.m;
  }
  if (segments.size() > 1 && tasks >= threads()) {
    team_.run_dynamic(tasks, 1, [&](Range range, int) {
      for (size_t number = range.begin; number < range.end; ++number) {
        locate(number, tasks_of, [](const AttentionRun& run, size_t i) { run.run_task(i); });
      }
    });
    return;
  }
  first = 0;
  for (const Segment& segment : segments) {
    AttentionRun(*this, args, segment, first, q, k, v, out).run(*this);
    first += segment.m;
  }
}

}  // namespace nibble
