// The kernels of attention: query rows against a block of keys and values, the writer of the KV
// cache, and the merge of two blocks' results. Sizes are those of Gemma 3 1B: heads of 256, four
// query heads to a KV head.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "bench/thread_case.h"
#include "runtime/machine/memory.h"
#include "simd/format.h"

namespace nibble {
namespace {

constexpr size_t kHeadDim = 256;
constexpr size_t kBlockElements = NIBBLE_KEY_BLOCK * kHeadDim;  // of the keys, or of the values
constexpr size_t kDecodeRows = 4;                               // one token's
constexpr size_t kPromptRows = 32;                              // eight tokens' at once
constexpr size_t kCallsAtOnce = 16;  // of a fraction of a microsecond each

// A block of keys followed by its values, as the writer of the cache makes them.
std::vector<uint8_t> random_block(Format format) {
  const std::vector<float> rows = random_floats(2 * kBlockElements);
  const size_t half_bytes = row_bytes(format, kBlockElements);
  std::vector<uint8_t> block(2 * half_bytes);
  const auto to_kv = select_kernel(Op::kToKv, format, 0)->entry->fn.to_kv;
  for (size_t slot = 0; slot < NIBBLE_KEY_BLOCK; ++slot) {
    const float* k = rows.data() + slot * kHeadDim;
    const ToKvArgs args = {
        k, k + kBlockElements, block.data(), block.data() + half_bytes, slot, kHeadDim};
    to_kv(&args);
  }
  return block;
}

class AttendOperands : public ThreadOperands {
 public:
  static Result<std::unique_ptr<ThreadOperands>> make(Format format, size_t rows, size_t bytes) {
    auto operands = std::make_unique<AttendOperands>();
    operands->rows_ = rows;
    const std::vector<uint8_t> block = random_block(format);
    operands->block_bytes_ = block.size();
    operands->copies_ = 1 + bytes / block.size();
    NIBBLE_TRY(operands->blocks_,
               Buffer::allocate(operands->copies_ * block.size(), "the KV cache"));
    for (size_t i = 0; i < operands->copies_; ++i) {
      std::memcpy(operands->blocks_.as<uint8_t>() + i * block.size(), block.data(), block.size());
    }
    operands->q_ = random_floats(rows * kHeadDim);
    // As models scale them. Scores far apart would make weights that are subnormal numbers, with
    // which the same kernel takes 25 times as long.
    for (float& q : operands->q_) q /= 16;  // sqrt(kHeadDim)
    operands->begin_.assign(rows, 0);
    operands->end_.assign(rows, NIBBLE_KEY_BLOCK);
    operands->max_.assign(rows, -INFINITY);
    operands->sum_.assign(rows, 0);
    operands->out_.assign(rows * kHeadDim, 0);
    return std::unique_ptr<ThreadOperands>(std::move(operands));
  }

  void run(const KernelFn& fn, size_t first, size_t calls) override {
    for (size_t i = first; i < first + calls; ++i) {
      const uint8_t* keys = blocks_.as<uint8_t>() + i % copies_ * block_bytes_;
      const AttendArgs args = {q_.data(),
                               kHeadDim,
                               keys,
                               keys + block_bytes_ / 2,
                               begin_.data(),
                               end_.data(),
                               max_.data(),
                               sum_.data(),
                               out_.data(),
                               kHeadDim,
                               rows_,
                               kHeadDim,
                               0};
      fn.attend(&args);
    }
  }

  std::vector<uint8_t> results() const override {
    std::vector<uint8_t> bytes;
    append_bytes(max_, &bytes);
    append_bytes(sum_, &bytes);
    append_bytes(out_, &bytes);
    return bytes;
  }

  Work work() const override {
    constexpr auto kElements = static_cast<double>(2 * kBlockElements);
    return {.macs = kElements * static_cast<double>(rows_),
            .bytes = static_cast<double>(block_bytes_),
            .elements = kElements};
  }

 private:
  size_t rows_ = 0;
  size_t copies_ = 0;
  size_t block_bytes_ = 0;
  Buffer blocks_;  // keys, values, keys, values ...
  std::vector<float> q_, max_, sum_, out_;
  std::vector<int32_t> begin_, end_;
};

class ToKvOperands : public ThreadOperands {
 public:
  explicit ToKvOperands(Format format)
      : k_(random_floats(kHeadDim)),
        v_(random_floats(kHeadDim)),
        k_block_(row_bytes(format, kBlockElements)),
        v_block_(k_block_.size()) {}

  // Slot after slot, as tokens come.
  void run(const KernelFn& fn, size_t first, size_t calls) override {
    for (size_t i = first; i < first + calls; ++i) {
      const ToKvArgs args = {
          k_.data(), v_.data(), k_block_.data(), v_block_.data(), i % NIBBLE_KEY_BLOCK, kHeadDim};
      fn.to_kv(&args);
    }
  }

  std::vector<uint8_t> results() const override {
    std::vector<uint8_t> bytes = k_block_;
    append_bytes(v_block_, &bytes);
    return bytes;
  }

  Work work() const override {
    const size_t written = (k_block_.size() + v_block_.size()) / NIBBLE_KEY_BLOCK;
    return {.bytes = static_cast<double>(2 * kHeadDim * sizeof(float) + written),
            .elements = 2 * kHeadDim};
  }

 private:
  std::vector<float> k_, v_;
  std::vector<uint8_t> k_block_, v_block_;
};

// The other side's maximum is smaller, so that the sums grow by a constant at each call.
class MergeOperands : public ThreadOperands {
 public:
  void run(const KernelFn& fn, size_t, size_t calls) override {
    const AttendMergeArgs args = {&max_,       &sum_,         out_.data(), &other_max_,
                                  &other_sum_, other_.data(), kHeadDim};
    for (size_t i = 0; i < calls; ++i) fn.merge(&args);
  }

  std::vector<uint8_t> results() const override {
    std::vector<uint8_t> bytes;
    append_bytes(std::vector<float>{max_, sum_}, &bytes);
    append_bytes(out_, &bytes);
    return bytes;
  }

  Work work() const override {
    return {.bytes = 3 * kHeadDim * sizeof(float), .elements = kHeadDim};
  }

 private:
  float max_ = 0, sum_ = 1, other_max_ = -1, other_sum_ = 1;
  std::vector<float> out_ = random_floats(kHeadDim), other_ = random_floats(kHeadDim);
};

}  // namespace

std::vector<CaseSpec> attention_cases(const Kernel& kernel) {
  const KernelEntry* entry = kernel.entry;
  const std::string stem =
      std::string(op_name(entry->op)).append("/").append(format_and_level(kernel));
  const std::string head = "/d" + std::to_string(kHeadDim);
  if (entry->op != Op::kAttend) {
    const MakeOperands make = [=] {
      using Made = std::unique_ptr<ThreadOperands>;
      return entry->op == Op::kToKv ? Made(new ToKvOperands(entry->format))
                                    : Made(new MergeOperands);
    };
    return {{stem + head, false,
             [=](size_t, int) { return std::make_unique<ThreadCase>(entry, make, kCallsAtOnce); }}};
  }
  std::vector<CaseSpec> cases;
  for (const size_t rows : {kDecodeRows, kPromptRows}) {
    const auto make = [=](size_t cold_bytes, int threads) {
      const size_t bytes = cold_bytes / static_cast<size_t>(threads);
      return std::make_unique<ThreadCase>(
          entry, [=] { return AttendOperands::make(entry->format, rows, bytes); }, 1);
    };
    const std::string name = stem + "/r" + std::to_string(rows) + head;
    cases.push_back({name, false, make});
    if (rows == kDecodeRows) cases.push_back({name + "/cold", true, make});
  }
  return cases;
}

}  // namespace nibble
