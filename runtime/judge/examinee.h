// A model that reads chunks, and several side by side, a slice of rows at a time: the logits of one
// slice are all that is kept in memory, whatever the vocabulary and the length of the chunk.
// Read next: chunks.h, scores.h, reference_file.h.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/judge/chunks.h"
#include "runtime/judge/scores.h"

namespace nibble {

class Examinee {
 public:
  // The logits of a slice take at most so much: enough rows to share what reading the head costs.
  static constexpr size_t kSliceBytes = size_t{64} << 20;

  // `options.context` is set to `ctx`. Errors are those of Session::create.
  static Result<std::unique_ptr<Examinee>> create(std::shared_ptr<Model> model,
                                                  SessionOptions options, size_t ctx);

  const Model& model() const { return *model_; }
  Session& session() { return *session_; }
  size_t vocabulary() const { return vocabulary_; }

  // Of the slice read last: a row of logits, and what was predicted with it.
  std::span<const float> logits(size_t row) const {
    return {logits_.data() + row * vocabulary_, vocabulary_};
  }
  const Prediction& prediction(size_t row) const { return predictions_[row]; }

  // Of every prediction so far.
  const std::vector<double>& nlls() const { return nlls_; }
  double mean_nll() const { return nll_sum_ / static_cast<double>(nlls_.size()); }
  // Tokens per second: of the first halves of chunks, read as a prompt is; and of everything.
  double prompt_tokens_per_s() const { return prompt_tokens_ / prompt_s_; }
  double tokens_per_s() const { return (prompt_tokens_ + row_tokens_) / (prompt_s_ + rows_s_); }

 private:
  friend class Examination;
  Examinee() = default;
  Result<void> begin(std::span<const int32_t> ids);
  Result<void> read(std::span<const int32_t> ids);

  std::shared_ptr<Model> model_;
  std::unique_ptr<Session> session_;
  size_t vocabulary_ = 0;
  std::vector<float> logits_;  // [slice rows][vocabulary]
  std::vector<Prediction> predictions_;
  std::vector<double> nlls_;
  double nll_sum_ = 0;
  double prompt_tokens_ = 0, prompt_s_ = 0;
  double row_tokens_ = 0, rows_s_ = 0;
};

// Models that read the same chunks side by side. All must be of one engine and one vocabulary.
class Examination {
 public:
  // Called after each slice; the rows of every examinee are those that predict `next`. `first` is
  // the first row's number among all predictions so far. An error ends the reading.
  using OnSlice = std::function<Result<void>(size_t first, std::span<const int32_t> next)>;

  explicit Examination(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}

  // Asked between models and slices; when it says true, read() ends with error 130.
  void stop_when(std::function<bool()> stop) { stop_ = std::move(stop); }

  // Error 65 for another vocabulary than that of the first.
  Result<void> add(std::shared_ptr<Model> model, const SessionOptions& options, size_t ctx);
  std::span<const std::unique_ptr<Examinee>> examinees() const { return examinees_; }
  Examinee& operator[](size_t i) const { return *examinees_[i]; }

  Result<void> read(const Chunks& chunks, size_t chunk, const OnSlice& on_slice);

  // Calls fn(row) for rows 0 .. count - 1, shared among the engine's threads.
  void each_row(size_t count, const std::function<void(size_t)>& fn) const;

 private:
  size_t slice_rows() const;
  Result<void> go_on() const;

  std::shared_ptr<Engine> engine_;
  std::vector<std::unique_ptr<Examinee>> examinees_;
  std::function<bool()> stop_;
  size_t predictions_ = 0;
};

}  // namespace nibble
