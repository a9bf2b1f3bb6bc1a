#include "runtime/judge/examinee.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "runtime/engine_impl.h"
#include "runtime/file/concat.h"

namespace nibble {
namespace {

constexpr size_t kMostRows = 256;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Result<std::unique_ptr<Examinee>> Examinee::create(std::shared_ptr<Model> model,
                                                   SessionOptions options, size_t ctx) {
  NIBBLE_TRY_VOID(check_ctx(*model, ctx));
  options.context = static_cast<int64_t>(ctx);
  std::unique_ptr<Examinee> examinee(new Examinee);
  NIBBLE_TRY(examinee->session_, Session::create(model, options));
  examinee->vocabulary_ = static_cast<size_t>(model->vocabulary_size());
  examinee->model_ = std::move(model);
  return examinee;
}

Result<void> Examinee::begin(std::span<const int32_t> ids) {
  const auto start = std::chrono::steady_clock::now();
  session_->reset();
  NIBBLE_TRY([[maybe_unused]] const auto last, session_->evaluate(ids, /*all_logits=*/false));
  prompt_s_ += seconds_since(start);
  prompt_tokens_ += static_cast<double>(ids.size());
  return {};
}

Result<void> Examinee::read(std::span<const int32_t> ids) {
  const auto start = std::chrono::steady_clock::now();
  logits_.resize(std::max(logits_.size(), ids.size() * vocabulary_));
  predictions_.resize(std::max(predictions_.size(), ids.size()));
  NIBBLE_TRY_VOID(session_->evaluate(ids, std::span(logits_).first(ids.size() * vocabulary_)));
  rows_s_ += seconds_since(start);
  row_tokens_ += static_cast<double>(ids.size());
  return {};
}

Result<void> Examination::add(std::shared_ptr<Model> model, const SessionOptions& options,
                              size_t ctx) {
  if (!examinees_.empty()) {
    const Model& first = examinees_.front()->model();
    if (vocabulary_hash(*model) != vocabulary_hash(first)) {
      return Error{ErrorCode::kData,
                   concat(model->path(), " has another vocabulary (", model->vocabulary_size(),
                          " tokens) than ", first.path(), " (", first.vocabulary_size(),
                          "): what they predict does not compare token by token")};
    }
  }
  NIBBLE_TRY(auto examinee, Examinee::create(std::move(model), options, ctx));
  examinees_.push_back(std::move(examinee));
  return {};
}

size_t Examination::slice_rows() const {
  const size_t row_bytes = examinees_.front()->vocabulary() * sizeof(float);
  return std::clamp<size_t>(Examinee::kSliceBytes / row_bytes, 1, kMostRows);
}

Result<void> Examination::go_on() const {
  if (stop_ && stop_()) return Error{ErrorCode::kInterrupted, "interrupted"};
  return {};
}

Result<void> Examination::read(const Chunks& chunks, size_t chunk, const OnSlice& on_slice) {
  const std::span<const int32_t> ids = chunks[chunk];
  for (const auto& examinee : examinees_) {
    NIBBLE_TRY_VOID(examinee->begin(ids.first(chunks.first())));
    NIBBLE_TRY_VOID(go_on());
  }
  for (size_t i = chunks.first(); i + 1 < ids.size();) {
    const size_t rows = std::min(slice_rows(), ids.size() - 1 - i);
    const std::span<const int32_t> next = ids.subspan(i + 1, rows);
    for (const auto& examinee : examinees_) {
      NIBBLE_TRY_VOID(examinee->read(ids.subspan(i, rows)));
      NIBBLE_TRY_VOID(go_on());
      each_row(rows, [&](size_t row) {
        examinee->predictions_[row] = judge_row(examinee->logits(row), next[row]);
      });
      for (size_t row = 0; row < rows; ++row) {
        examinee->nlls_.push_back(examinee->prediction(row).nll);
        examinee->nll_sum_ += examinee->nlls_.back();
      }
    }
    NIBBLE_TRY_VOID(on_slice(predictions_, next));
    predictions_ += rows;
    i += rows;
  }
  return {};
}

void Examination::each_row(size_t count, const std::function<void(size_t)>& fn) const {
  Engine::Impl& engine = engine_->impl();
  const std::lock_guard lock(engine.regions);
  engine.team->run([&](int worker) {
    const Range rows = split_range(count, 1, worker, engine.team->size());
    for (size_t row = rows.begin; row < rows.end; ++row) fn(row);
  });
}

}  // namespace nibble
