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

#include "runtime/machine/memory.h"
#include "tools/nibble/rope_divisors.h"
#include "tools/nibble/synth_weights.h"

namespace nibble::cli {
namespace {

// A tensor to be filled: from random numbers, or with the values given. Its index is its place in
// the list.
struct Tensor {
  std::string name;
  Format format;
  std::vector<uint64_t> dims;
  float mean, deviation;
  std::vector<float> values;

  uint64_t k() const { return dims[0]; }
  uint64_t rows() const { return dims.size() > 1 ? dims[1] : 1; }
};

class TensorList {
 public:
  void add_matrix(const std::string& name, Format format, uint64_t k, uint64_t n) {
    tensors_.push_back({name, format, {k, n}, 0, 1 / std::sqrt(static_cast<float>(k)), {}});
  }
  void add_norm(const std::string& name, uint64_t n) { add_vector(name, n, 1); }
  void add_bias(const std::string& name, uint64_t n) { add_vector(name, n, 0); }
  void add_values(const std::string& name, std::vector<float> values) {
    const size_t n = values.size();
    tensors_.push_back({name, Format::kF32, {n}, 0, 0, std::move(values)});
  }
  std::vector<Tensor> take() { return std::move(tensors_); }

 private:
  void add_vector(const std::string& name, uint64_t n, float mean) {
    tensors_.push_back({name, Format::kF32, {n}, mean, 0.05f, {}});
  }

  std::vector<Tensor> tensors_;
};

void add_layer(const SynthShape& shape, Format bulk, uint32_t layer, TensorList* list) {
  const bool gemma = shape.architecture.starts_with("gemma");
  const bool fused = shape.architecture == "phi3";  // Wq, Wk, Wv in one; Wgate, Wup in one
  const uint64_t embd = shape.embedding, ff = shape.feed_forward;
  const uint64_t q_rows = uint64_t{shape.heads} * shape.head_dim;
  const uint64_t kv_rows = uint64_t{shape.kv_heads} * shape.head_dim;
  const std::string block = "blk." + std::to_string(layer) + ".";
  const auto name = [&](const char* part) { return block + part + ".weight"; };
  if (fused) {
    list->add_matrix(name("attn_qkv"), bulk, embd, q_rows + 2 * kv_rows);
  } else {
    list->add_matrix(name("attn_q"), bulk, embd, q_rows);
    list->add_matrix(name("attn_k"), bulk, embd, kv_rows);
    list->add_matrix(name("attn_v"), bulk, embd, kv_rows);
  }
  list->add_matrix(name("attn_output"), bulk, q_rows, embd);
  if (!fused) list->add_matrix(name("ffn_gate"), bulk, embd, ff);
  list->add_matrix(name("ffn_up"), bulk, embd, fused ? 2 * ff : ff);
  list->add_matrix(name("ffn_down"), bulk, ff, embd);
  list->add_norm(name("attn_norm"), embd);
  list->add_norm(name("ffn_norm"), embd);
  if (gemma) {
    list->add_norm(name("post_attention_norm"), embd);
    list->add_norm(name("post_ffw_norm"), embd);
  }
  if (shape.architecture == "gemma3" || shape.architecture == "qwen3") {
    list->add_norm(name("attn_q_norm"), shape.head_dim);
    list->add_norm(name("attn_k_norm"), shape.head_dim);
  }
  if (shape.architecture == "qwen2") {
    list->add_bias(block + "attn_q.bias", q_rows);
    list->add_bias(block + "attn_k.bias", kv_rows);
    list->add_bias(block + "attn_v.bias", kv_rows);
  }
}

std::vector<Tensor> tensors_of(const SynthShape& shape, Format head, Format bulk) {
  TensorList list;
  list.add_matrix("token_embd.weight", head, shape.embedding, shape.vocabulary);
  list.add_norm("output_norm.weight", shape.embedding);
  if (shape.architecture == "llama" && shape.rope_scaling != 1) {
    Llama3Rope rope;
    rope.base = shape.rope_base;
    rope.factor = shape.rope_scaling;
    list.add_values("rope_freqs.weight", llama3_rope_divisors(rope, shape.head_dim));
  }
  if (shape.architecture == "phi3") {
    // As Phi-4-mini has them: none within the context of the pre-training, a curve beyond.
    std::vector<float> divisors(shape.n_rot / 2, 1.0f);
    list.add_values("rope_factors_short.weight", divisors);
    for (size_t i = 0; i < divisors.size(); ++i) {
      divisors[i] = std::min(shape.rope_scaling, std::pow(1.1183f, static_cast<float>(i)));
    }
    list.add_values("rope_factors_long.weight", divisors);
  }
  for (uint32_t layer = 0; layer < shape.layers; ++layer) add_layer(shape, bulk, layer, &list);
  return list.take();
}

// The rows of all tensors, handed out in pieces to threads.
class Filler {
 public:
  Filler(const std::vector<Tensor>& tensors, uint64_t seed, GgufWriter* writer)
      : tensors_(tensors), seed_(seed), writer_(writer) {
    for (size_t t = 0; t < tensors.size(); ++t) {
      const Tensor& tensor = tensors[t];
      const uint64_t rows =
          std::max<uint64_t>(1, kPieceBytes / row_bytes(tensor.format, tensor.k()));
      for (uint64_t row = 0; row < tensor.rows(); row += rows) {
        pieces_.push_back({t, row, std::min(tensor.rows(), row + rows)});
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
                                                seed_ * kSeedStep + piece.tensor);
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
      return writer_->write(piece.tensor, 0, tensor.values.data(),
                            tensor.values.size() * sizeof(float));
    }
    const size_t stride = row_bytes(tensor.format, tensor.k());
    buffer->resize((piece.row_end - piece.row_begin) * stride);
    for (uint64_t row = piece.row_begin; row < piece.row_end; ++row) {
      source.write_row(tensor.format, row, tensor.k(),
                       buffer->data() + (row - piece.row_begin) * stride);
    }
    return writer_->write(piece.tensor, piece.row_begin * stride, buffer->data(), buffer->size());
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
  for (const auto& [key, value] : synth_metadata(shape).entries) writer.add(key, value);
  add_synth_vocabulary(shape, &writer);
  const std::vector<Tensor> tensors = tensors_of(shape, options.head, Format::kQ4_0);
  for (const Tensor& tensor : tensors) writer.add_tensor(tensor.name, tensor.format, tensor.dims);
  NIBBLE_TRY_VOID(writer.create(path));
  NIBBLE_TRY_VOID(Filler(tensors, options.seed, &writer).run(options.progress));
  return writer.commit();
}

GgufFile synth_header(const SynthShape& shape) {
  std::vector<GgufTensor> tensors;
  for (const Tensor& tensor : tensors_of(shape, Format::kF16, Format::kF16)) {
    GgufTensor& entry = tensors.emplace_back();
    entry.name = tensor.name;
    entry.type_id = format_info(tensor.format).gguf_id;
    entry.dims = tensor.dims;
    entry.bytes = tensor.rows() * row_bytes(tensor.format, tensor.k());
  }
  return GgufFile::assemble(std::string(shape.name), synth_metadata(shape).entries,
                            std::move(tensors), {});
}

}  // namespace nibble::cli
