// The output head: hidden state to logits, in full or by a screen.
//
// A head in F16 is more than half of the bytes that decoding reads (604 of 997 MB a token in Gemma
// 3 1B). The screen is a Q4_0 copy of it, made at load, with the norm of each row's error. It gives
// every logit approximately; rows whose exact logit could be among the `top` best are computed
// again from the original. An error of a row, x . e, with e of norm |e| and no relation to x, has
// the standard deviation |x| |e| / sqrt(k); kSigmas of them are allowed for, on both sides.
// Immutable after build(). Read next: ops.h, tools/docs/decisions for the measured agreement.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/gguf.h"
#include "runtime/machine/node_arena.h"
#include "runtime/machine/thread_team.h"
#include "runtime/ops/kernel_set.h"
#include "runtime/weights.h"

namespace nibble {

class OutputHead {
 public:
  // Allowed deviation of a screened logit, in standard deviations: one in a billion passes 6.
  static constexpr float kSigmas = 6.0f;

  PackedMatrix exact;  // filled by the loader

  // A smaller head is read in well under a millisecond: nothing to gain.
  static constexpr uint64_t kWorthScreening = 64 << 20;

  // Builds the screen if this is a float head of at least `least_bytes`, and lets go of the file's
  // pages behind itself. Between regions `between` is called, where others may use the team. Error
  // 71: no memory; 65: a row that is not finite, by number.
  Result<void> build_screen(
      const KernelSet& kernels, ThreadTeam& team, const GgufFile& file,
      uint64_t least_bytes = kWorthScreening, const std::function<void()>& between = [] {});

  // What build_screen() will allocate: the screen and the rows' errors; 0 where there is none.
  uint64_t screen_bytes(const KernelSet& kernels, uint64_t least_bytes = kWorthScreening) const;

  bool has_screen() const { return screen_.data != nullptr; }
  const PackedMatrix& screen() const { return screen_; }
  // |e| / sqrt(k) of each row.
  const float* row_errors() const { return errors_.data(); }
  // Memory of the screen; empty without one.
  const NodeArena& memory() const { return memory_; }
  // Bytes that a decoded token reads, candidates aside.
  uint64_t decode_bytes() const;

 private:
  PackedMatrix screen_;
  std::vector<float> errors_;
  NodeArena memory_;
};

}  // namespace nibble
