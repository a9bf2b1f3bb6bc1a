#include "runtime/quantize/quantize_model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

#include "runtime/file/concat.h"
#include "runtime/file/gguf_writer.h"
#include "runtime/quantize/quantize_row.h"

namespace nibble {
namespace {

// Weights of a slice of rows: a megabyte of floats, some milliseconds of work.
constexpr uint64_t kSliceWeights = 256 * 1024;

// Metadata that tell how a file was made; the new ones come in their place.
bool is_replaced(std::string_view key) {
  return key == "general.alignment" || key == "general.file_type" ||
         key == "general.quantization_version" || key.starts_with("split.") ||
         key.starts_with("quantize.imatrix.");
}

void add_metadata(const GgufFile& file, const QuantizeOptions& options, GgufWriter* writer) {
  for (const auto& [key, value] : file.metadata()) {
    if (!is_replaced(key)) writer->add(key, value);
  }
  constexpr uint32_t kQuantizationVersion = 2;
  writer->add_uint32("general.quantization_version", kQuantizationVersion);
  writer->add_uint32("general.file_type", options.mix->file_type);
  if (const ImportanceMatrix* importance = options.importance) {
    writer->add_string("quantize.imatrix.file", importance->path());
    writer->add_string("quantize.imatrix.dataset", importance->dataset());
    writer->add_uint32("quantize.imatrix.entries_count",
                       static_cast<uint32_t>(importance->entries()));
    writer->add_uint32("quantize.imatrix.chunks_count",
                       static_cast<uint32_t>(importance->chunks()));
  }
}

uint32_t usable_alignment(uint64_t alignment) {
  return alignment >= 8 && alignment <= (1u << 20) ? static_cast<uint32_t>(alignment) : 32;
}

// One tensor on its way from file to file; slices of its rows may run at the same time.
class TensorJob {
 public:
  TensorJob(const GgufFile& file, const TensorPlan& plan, size_t index, const KernelSet& kernels,
            GgufWriter* writer)
      : file_(file),
        plan_(plan),
        index_(index),
        writer_(writer),
        k_(plan.tensor->dims[0]),
        row_losses_(plan.format ? plan.tensor->rows() : 0) {
    if (!plan.format) return;
    from_ = *format_from_gguf(plan.tensor->type_id);
    read_ = kernels.fn(Op::kDequantizeRow, from_).dequantize;
    check_ = kernels.fn(Op::kDequantizeRow, *plan.format).dequantize;
  }

  uint64_t rows() const { return plan_.tensor->rows(); }
  uint64_t slice_rows() const { return std::max<uint64_t>(1, kSliceWeights / k_); }

  // Does rows [range) with a worker's own buffers.
  struct Buffers {
    std::vector<uint8_t> bytes, aligned;
    std::vector<float> x, stored;
  };
  void run(Range range, Buffers* buffers) {
    const uint64_t in_bytes = plan_.tensor->bytes / rows();
    const uint8_t* data = plan_.tensor->data;
    const uint8_t* in = data + range.begin * in_bytes;
    const uint64_t count = range.end - range.begin;
    Result<void> written;
    if (plan_.format) {
      const size_t out_bytes = row_bytes(*plan_.format, k_);
      buffers->bytes.resize(count * out_bytes);
      for (uint64_t i = 0; i < count; ++i) {
        const uint8_t* row = data + source_row(range.begin + i) * in_bytes;
        if (!convert(range.begin + i, row, buffers->bytes.data() + i * out_bytes, buffers)) return;
      }
      written = writer_->write(index_, range.begin * out_bytes, buffers->bytes.data(),
                               buffers->bytes.size());
    } else {
      written = writer_->write(index_, range.begin * in_bytes, in, count * in_bytes);
    }
    file_.release_pages(in, count * in_bytes);
    if (!written) fail(0, std::move(written).error());
  }

  bool failed() const { return error_row_ != kNoRow; }
  // Whether a row before this one failed. Rows after it need not be tried, those before it must:
  // the error is that of the lowest row, whichever thread is first.
  bool failed_before(uint64_t row) const { return error_row_ < row; }
  Error take_error() { return std::move(error_); }

  TensorLoss loss() const {
    double squares = 0, errors = 0;
    for (const RowLoss& row : row_losses_) {
      squares += row.squares;
      errors += row.errors;
    }
    const double count = static_cast<double>(rows()) * static_cast<double>(k_);
    return {std::sqrt(errors / count), squares > 0 ? std::sqrt(errors / squares) : 0};
  }

 private:
  struct RowLoss {
    double squares = 0;  // of the weights
    double errors = 0;   // squares of what was lost
  };

  uint64_t source_row(uint64_t row) const {
    const uint64_t n = plan_.paired_rows;
    if (n == 0) return row;
    const uint64_t place = row % n;
    return row - place + place % 2 * (n / 2) + place / 2;
  }

  // Reads, checks, quantises and compares one row; false when it failed.
  bool convert(uint64_t row, const uint8_t* in, uint8_t* out, Buffers* buffers) {
    if (reinterpret_cast<uintptr_t>(in) % alignof(float) != 0) {  // not a GGUF file's
      buffers->aligned.assign(in, in + row_bytes(from_, k_));
      in = buffers->aligned.data();
    }
    buffers->x.resize(k_);
    float* x = buffers->x.data();
    const DequantizeArgs read{in, x, k_};
    read_(&read);
    for (size_t i = 0; plan_.added != 0 && i < k_; ++i) x[i] += plan_.added;
    if (!check_weights(row, x)) return false;
    quantize_row(*plan_.format, x, importance(row), k_, out);
    buffers->stored.resize(k_);
    const DequantizeArgs check{out, buffers->stored.data(), k_};
    check_(&check);
    RowLoss& loss = row_losses_[row];
    for (size_t i = 0; i < k_; ++i) {
      const double error = static_cast<double>(x[i]) - static_cast<double>(buffers->stored[i]);
      loss.squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
      loss.errors += error * error;
    }
    return true;
  }

  bool check_weights(uint64_t row, const float* x) {
    float most = 0;
    bool finite = true;
    for (size_t i = 0; i < k_; ++i) {
      most = std::max(most, std::abs(x[i]));
      finite &= std::isfinite(x[i]);
    }
    // Half-precision scales reach this far with the fewest levels; F16 not even so.
    constexpr float kMost = 65504;
    const bool fits = *plan_.format == Format::kF32 || *plan_.format == Format::kBF16;
    if (finite && (most <= kMost || fits)) return true;
    const std::string where = concat(plan_.tensor->name, ": row ", row, " holds a number that is ");
    fail(row, {ErrorCode::kData,
               finite ? concat(where, "too large for ", format_info(*plan_.format).name,
                               "; choose BF16 for this tensor")
                      : concat(where, "not finite; the file is damaged, download it again")});
    return false;
  }

  const float* importance(uint64_t row) const {
    if (plan_.importance == nullptr) return nullptr;
    const uint64_t experts = plan_.importance->size() / k_;
    return plan_.importance->data() + row / (rows() / experts) * k_;
  }

  void fail(uint64_t row, Error error) {
    const std::lock_guard lock(mutex_);
    if (row >= error_row_) return;
    error_ = std::move(error);
    error_row_ = row;
  }

  const GgufFile& file_;
  const TensorPlan& plan_;
  size_t index_;
  GgufWriter* writer_;
  uint64_t k_;
  Format from_ = Format::kF32;
  void (*read_)(const DequantizeArgs*) = nullptr;
  void (*check_)(const DequantizeArgs*) = nullptr;
  std::vector<RowLoss> row_losses_;
  std::mutex mutex_;
  Error error_;
  static constexpr uint64_t kNoRow = UINT64_MAX;
  std::atomic<uint64_t> error_row_{kNoRow};
};

}  // namespace

Result<std::vector<TensorLoss>> quantize_model(const GgufFile& file, const QuantizePlan& plan,
                                               const QuantizeOptions& options, ThreadTeam& team,
                                               const KernelSet& kernels, const std::string& path) {
  GgufWriter writer(usable_alignment(file.alignment()));
  add_metadata(file, options, &writer);
  uint64_t in_bytes = 0;
  for (const TensorPlan& row : plan.tensors) {
    writer.add_tensor(row.tensor->name, row.type_id, row.tensor->dims);
    in_bytes += row.tensor->bytes;
  }
  NIBBLE_TRY_VOID(writer.create(path));

  std::vector<TensorLoss> losses;
  std::vector<TensorJob::Buffers> buffers(static_cast<size_t>(team.size()));
  std::atomic<uint64_t> done_bytes{0};
  std::atomic<bool> stopped{false};
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    const GgufTensor& tensor = *plan.tensors[t].tensor;
    TensorJob job(file, plan.tensors[t], t, kernels, &writer);
    const uint64_t row_in_bytes = tensor.bytes / job.rows();
    team.run_dynamic(job.rows(), job.slice_rows(), [&](Range range, int worker) {
      if (stopped || job.failed_before(range.begin)) return;
      job.run(range, &buffers[static_cast<size_t>(worker)]);
      done_bytes += (range.end - range.begin) * row_in_bytes;
      if (worker != 0 || !options.progress) return;
      const double part = static_cast<double>(done_bytes) / static_cast<double>(in_bytes);
      if (!options.progress(part)) stopped = true;
    });
    NIBBLE_TRY_VOID(file.check_read());
    if (job.failed()) return job.take_error();
    if (stopped || (options.progress && !options.progress(static_cast<double>(done_bytes) /
                                                          static_cast<double>(in_bytes)))) {
      return Error{ErrorCode::kInterrupted, "stopped; nothing was written"};
    }
    losses.push_back(job.loss());
  }
  NIBBLE_TRY_VOID(writer.commit());
  return losses;
}

}  // namespace nibble
