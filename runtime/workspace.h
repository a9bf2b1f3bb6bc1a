// What evaluating tokens needs beside weights and caches: scratch memory, and the operations on it.
// All of it is allocated once, for the most rows of a step. Read next: session.cpp, batch.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "nibble/nibble.h"
#include "runtime/model_impl.h"
#include "runtime/ops/ops.h"

namespace nibble {

class Workspace {
 public:
  // For steps of these sizes, and logits of `logit_rows` of their tokens. Error 71: no memory.
  static Result<std::unique_ptr<Workspace>> create(const Model::Impl& model,
                                                   const OpsScratch::Sizes& sizes,
                                                   size_t logit_rows);

  // Evaluates ids, those of the segments one after the other; `out` (its rows: as many as are
  // wanted) gets the logits of the wanted tokens. top > 0: the `top` largest of each suffice. Takes
  // the engine for as long.
  void evaluate(std::span<const int32_t> ids, std::span<const Segment> segments, Rows out,
                size_t top);

  // The same, but gives the final hidden states, normed: [wanted][embedding], until the next call.
  Rows hidden(std::span<const int32_t> ids, std::span<const Segment> segments);

  // Where evaluate() gave approximate logits: those of some ids, exactly, of wanted token `row` of
  // the last call.
  void exact_logits(size_t row, std::span<const int32_t> ids, std::span<float> out);

  // Error 65 if a row of logits or states is not finite: it names the layer where this began, now
  // or in an earlier step. 74 if the file could not be read. `position` is that of the row's token.
  Result<void> check_finite(std::span<const float> values, int64_t position) const;

  // The first m rows of memory for logits.
  Rows logit_rows(size_t m) const {
    const size_t vocabulary = model_.network.shape().vocabulary;
    return {logits_.as<float>(), m, vocabulary, vocabulary};
  }
  size_t exact_head_rows() const { return ops_.exact_head_rows(); }
  void set_observer(MatmulObserver* observer) { ops_.set_observer(observer); }
  uint64_t size() const { return scratch_.size() + memory_.size() + logits_.size(); }

 private:
  Workspace(const Model::Impl& model, OpsScratch scratch, Buffer memory, Buffer logits);

  void forward(Pass& pass);

  const Model::Impl& model_;
  int broken_at_ = Pass::kNowhere;
  OpsScratch scratch_;
  Buffer memory_;
  Buffer logits_;
  Activations activations_;
  Ops ops_;
};

}  // namespace nibble
