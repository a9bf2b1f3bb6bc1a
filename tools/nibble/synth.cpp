#include "tools/nibble/synth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "tools/nibble/synth_weights.h"

namespace nibble::cli {
namespace {

// A tensor to be filled: from random numbers, or with the values given.
struct Tensor {
  size_t index;  // of the writer
  Format format;
  uint64_t rows, k;
  float mean, deviation;
  std::vector<float> values;
};

class TensorList {
 public:
  explicit TensorList(GgufWriter* writer) : writer_(writer) {}

  void add_matrix(const std::string& name, Format format, uint64_t k, uint64_t n) {
    const auto deviation = 1 / std::sqrt(static_cast<float>(k));
    tensors_.push_back({writer_->add_tensor(name, format, {k, n}), format, n, k, 0, deviation, {}});
  }
  void add_norm(const std::string& name, uint64_t n) {
    const size_t index = writer_->add_tensor(name, Format::kF32, {n});
    tensors_.push_back({index, Format::kF32, 1, n, 1, 0.05f, {}});
  }
  void add_values(const std::string& name, std::vector<float> values) {
    const size_t n = values.size();
    const size_t index = writer_->add_tensor(name, Format::kF32, {n});
    tensors_.push_back({index, Format::kF32, 1, n, 0, 0, std::move(values)});
  }
  std::vector<Tensor> take() { return std::move(tensors_); }

 private:
  GgufWriter* writer_;
  std::vector<Tensor> tensors_;
};

// Divisors of the rotations' frequencies in Llama 3.x: none for wavelengths well inside the
// original context of 8192, `factor` for those that leave it, a blend between.
std::vector<float> llama3_rope_divisors(const SynthShape& shape) {
  constexpr double kOriginalContext = 8192, kLow = 1, kHigh = 4, kPi = 3.14159265358979323846;
  std::vector<float> divisors;
  for (uint32_t i = 0; i < shape.head_dim / 2; ++i) {
    const double wavelength = 2 * kPi * std::pow(shape.rope_base, 2.0 * i / shape.head_dim);
    const double turns = kOriginalContext / wavelength;
    const double blend = std::clamp((turns - kLow) / (kHigh - kLow), 0.0, 1.0);
    divisors.push_back(static_cast<float>(1 / ((1 - blend) / shape.rope_scaling + blend)));
  }
  return divisors;
}

void add_layer(const SynthShape& shape, uint32_t layer, TensorList* list) {
  const bool gemma = shape.architecture == "gemma3";
  const uint64_t embd = shape.embedding, ff = shape.feed_forward;
  const uint64_t q_rows = uint64_t{shape.heads} * shape.head_dim;
  const uint64_t kv_rows = uint64_t{shape.kv_heads} * shape.head_dim;
  const auto name = [&](const char* part) {
    return "blk." + std::to_string(layer) + "." + part + ".weight";
  };
  list->add_matrix(name("attn_q"), Format::kQ4_0, embd, q_rows);
  list->add_matrix(name("attn_k"), Format::kQ4_0, embd, kv_rows);
  list->add_matrix(name("attn_v"), Format::kQ4_0, embd, kv_rows);
  list->add_matrix(name("attn_output"), Format::kQ4_0, q_rows, embd);
  list->add_matrix(name("ffn_gate"), Format::kQ4_0, embd, ff);
  list->add_matrix(name("ffn_up"), Format::kQ4_0, embd, ff);
  list->add_matrix(name("ffn_down"), Format::kQ4_0, ff, embd);
  list->add_norm(name("attn_norm"), embd);
  list->add_norm(name("ffn_norm"), embd);
  if (gemma) {
    list->add_norm(name("post_attention_norm"), embd);
    list->add_norm(name("post_ffw_norm"), embd);
  }
  if (shape.architecture != "llama") {
    list->add_norm(name("attn_q_norm"), shape.head_dim);
    list->add_norm(name("attn_k_norm"), shape.head_dim);
  }
}

std::vector<Tensor> add_tensors(const SynthShape& shape, Format head, GgufWriter* writer) {
  TensorList list(writer);
  list.add_matrix("token_embd.weight", head, shape.embedding, shape.vocabulary);
  list.add_norm("output_norm.weight", shape.embedding);
  if (shape.architecture == "llama" && shape.rope_scaling != 1) {
    list.add_values("rope_freqs.weight", llama3_rope_divisors(shape));
  }
  for (uint32_t layer = 0; layer < shape.layers; ++layer) add_layer(shape, layer, &list);
  return list.take();
}

// The rows of all tensors, handed out in pieces to threads.
class Filler {
 public:
  Filler(const std::vector<Tensor>& tensors, uint64_t seed, GgufWriter* writer)
      : tensors_(tensors), seed_(seed), writer_(writer) {
    for (size_t t = 0; t < tensors.size(); ++t) {
      const Tensor& tensor = tensors[t];
      const uint64_t rows = std::max<uint64_t>(1, kPieceBytes / row_bytes(tensor.format, tensor.k));
      for (uint64_t row = 0; row < tensor.rows; row += rows) {
        pieces_.push_back({t, row, std::min(tensor.rows, row + rows)});
      }
    }
  }

  // Fills everything; `progress` is called in this thread.
  Result<void> run(const std::function<bool(double)>& progress) {
    std::vector<std::thread> threads;
    const unsigned count = std::clamp(std::thread::hardware_concurrency(), 1u, 16u);
    working_ = count;
    for (unsigned i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
    const bool finished = wait(progress);
    for (std::thread& thread : threads) thread.join();
    if (error_) return *std::move(error_);
    if (!finished) return Error{ErrorCode::kInterrupted, "stopped; nothing was written"};
    return {};
  }

 private:
  static constexpr uint64_t kPieceBytes = 1 << 20;
  struct Piece {
    size_t tensor;
    uint64_t row_begin, row_end;
  };

  // Waits for the threads; false when `progress` asked to stop.
  bool wait(const std::function<bool(double)>& progress) {
    std::unique_lock lock(mutex_);
    while (!idle_.wait_for(lock, std::chrono::milliseconds(50), [&] { return working_ == 0; })) {
      const double done = static_cast<double>(std::min(next_.load(), pieces_.size()));
      if (progress && !progress(done / static_cast<double>(pieces_.size()))) {
        next_ = pieces_.size();
        idle_.wait(lock, [&] { return working_ == 0; });
        return false;
      }
    }
    return true;
  }

  void work() {
    std::vector<uint8_t> buffer;
    std::unique_ptr<WeightSource> source;
    size_t source_tensor = tensors_.size();
    for (size_t i = next_++; i < pieces_.size(); i = next_++) {
      const Piece& piece = pieces_[i];
      if (piece.tensor != source_tensor) {
        source_tensor = piece.tensor;
        const Tensor& tensor = tensors_[source_tensor];
        source = std::make_unique<WeightSource>(gaussian_, tensor.mean, tensor.deviation,
                                                seed_ * kSeedStep + tensor.index);
      }
      if (Result<void> result = fill(piece, *source, &buffer); !result) {
        const std::lock_guard lock(mutex_);
        error_ = std::move(result).error();
        next_ = pieces_.size();
      }
    }
    const std::lock_guard lock(mutex_);
    --working_;
    idle_.notify_one();
  }

  Result<void> fill(const Piece& piece, const WeightSource& source, std::vector<uint8_t>* buffer) {
    const Tensor& tensor = tensors_[piece.tensor];
    if (!tensor.values.empty()) {
      return writer_->write(tensor.index, 0, tensor.values.data(),
                            tensor.values.size() * sizeof(float));
    }
    const size_t stride = row_bytes(tensor.format, tensor.k);
    buffer->resize((piece.row_end - piece.row_begin) * stride);
    for (uint64_t row = piece.row_begin; row < piece.row_end; ++row) {
      source.write_row(tensor.format, row, tensor.k,
                       buffer->data() + (row - piece.row_begin) * stride);
    }
    return writer_->write(tensor.index, piece.row_begin * stride, buffer->data(), buffer->size());
  }

  static constexpr uint64_t kSeedStep = 1 << 20;  // more than any model has tensors

  const std::vector<Tensor>& tensors_;
  const GaussianTable gaussian_;
  uint64_t seed_;
  GgufWriter* writer_;
  std::vector<Piece> pieces_;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::condition_variable idle_;
  unsigned working_ = 0;  // guarded by mutex_, as is error_
  std::optional<Error> error_;
};

}  // namespace

Result<void> synthesize(const SynthShape& shape, const SynthOptions& options,
                        const std::string& path) {
  GgufWriter writer;
  add_synth_metadata(shape, &writer);
  add_synth_vocabulary(shape, &writer);
  const std::vector<Tensor> tensors = add_tensors(shape, options.head, &writer);
  NIBBLE_TRY_VOID(writer.create(path));
  NIBBLE_TRY_VOID(Filler(tensors, options.seed, &writer).run(options.progress));
  return writer.commit();
}

}  // namespace nibble::cli
