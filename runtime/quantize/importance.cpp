#include "runtime/quantize/importance.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "runtime/file/concat.h"
#include "runtime/file/gguf.h"

namespace nibble {

// Reads either form.
class ImportanceReader {
 public:
  explicit ImportanceReader(const std::string& path) { matrix_.path_ = path; }

  Result<ImportanceMatrix> read() {
    std::ifstream in(matrix_.path_, std::ios::binary);
    if (!in) {
      return Error{ErrorCode::kNoInput, concat(matrix_.path_,
                                               ": cannot be opened; give the file "
                                               "that `nibble imatrix` or "
                                               "llama-imatrix wrote")};
    }
    char magic[4] = {};
    in.read(magic, sizeof(magic));
    if (std::memcmp(magic, "GGUF", sizeof(magic)) == 0) {
      NIBBLE_TRY_VOID(read_gguf());
    } else {
      in.clear();
      in.seekg(0);
      bytes_.assign(std::istreambuf_iterator<char>(in), {});
      NIBBLE_TRY_VOID(read_dat());
    }
    if (matrix_.entries_.empty()) return damaged("it has no entries");
    return std::move(matrix_);
  }

 private:
  static constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";

  Error damaged(const std::string& what) const {
    return {ErrorCode::kData,
            concat(matrix_.path_, ": not an importance matrix (", what, "); make it anew")};
  }

  // Divides sums by counts and keeps them; one count for `sums.size() / counts.size()` sums.
  Result<void> add(const std::string& name, std::vector<float> sums,
                   const std::vector<float>& counts) {
    if (counts.empty() || sums.empty() || sums.size() % counts.size() != 0) {
      return damaged(concat(name, " has ", sums.size(), " sums and ", counts.size(), " counts"));
    }
    const size_t columns = sums.size() / counts.size();
    for (size_t i = 0; i < sums.size(); ++i) {
      const float count = counts[i / columns];
      sums[i] = count > 0 ? sums[i] / count : 1.0f;  // an expert that saw nothing
      if (!std::isfinite(sums[i]) || sums[i] < 0) {
        return damaged(concat(name, ": column ", i, " is negative or not finite"));
      }
    }
    matrix_.entries_[name] = std::move(sums);
    return {};
  }

  static std::vector<float> floats(const GgufTensor& tensor) {
    std::vector<float> values(tensor.bytes / sizeof(float));
    std::memcpy(values.data(), tensor.data, tensor.bytes);
    return values;
  }

  Result<void> read_gguf() {
    NIBBLE_TRY(const GgufFile file, GgufFile::open(matrix_.path_));
    NIBBLE_TRY(matrix_.chunks_, file.get_uint("imatrix.chunk_count", 0));
    NIBBLE_TRY(const GgufArray* datasets, file.get_array("imatrix.datasets"));
    if (datasets != nullptr && !datasets->strings.empty()) matrix_.dataset_ = datasets->strings[0];
    for (const GgufTensor& tensor : file.tensors()) {
      if (!tensor.name.ends_with(kSums)) continue;
      const std::string name = tensor.name.substr(0, tensor.name.size() - kSums.size());
      const GgufTensor* counts = file.tensor(name + std::string(kCounts));
      if (counts == nullptr || counts->type_id != 0 || tensor.type_id != 0) {
        return damaged(concat(name, " lacks counts, or is not F32"));
      }
      NIBBLE_TRY_VOID(add(name, floats(tensor), floats(*counts)));
    }
    return {};
  }

  Result<int32_t> take_int() {
    int32_t value = 0;
    if (bytes_.size() - at_ < sizeof(value)) return damaged("it is cut off");
    std::memcpy(&value, bytes_.data() + at_, sizeof(value));
    at_ += sizeof(value);
    if (value < 0) return damaged(concat("a negative length at byte ", at_ - sizeof(value)));
    return value;
  }

  Result<std::string> take_text() {
    NIBBLE_TRY(const int32_t length, take_int());
    if (bytes_.size() - at_ < static_cast<size_t>(length)) return damaged("it is cut off");
    std::string text(bytes_.data() + at_, static_cast<size_t>(length));
    at_ += text.size();
    return text;
  }

  Result<void> read_dat() {
    NIBBLE_TRY(const int32_t entries, take_int());
    for (int32_t i = 0; i < entries; ++i) {
      NIBBLE_TRY(const std::string name, take_text());
      NIBBLE_TRY(const int32_t calls, take_int());
      NIBBLE_TRY(const int32_t count, take_int());
      const size_t bytes = static_cast<size_t>(count) * sizeof(float);
      if (bytes_.size() - at_ < bytes) return damaged("it is cut off");
      std::vector<float> sums(static_cast<size_t>(count));
      if (bytes > 0) std::memcpy(sums.data(), bytes_.data() + at_, bytes);
      at_ += bytes;
      NIBBLE_TRY_VOID(add(name, std::move(sums), {static_cast<float>(calls)}));
    }
    if (at_ == bytes_.size()) return {};  // old files end here
    NIBBLE_TRY(const int32_t chunks, take_int());
    matrix_.chunks_ = static_cast<uint64_t>(chunks);
    if (at_ == bytes_.size()) return {};
    NIBBLE_TRY(matrix_.dataset_, take_text());
    return {};
  }

  ImportanceMatrix matrix_;
  std::vector<char> bytes_;
  size_t at_ = 0;
};

Result<ImportanceMatrix> ImportanceMatrix::open(const std::string& path) {
  return ImportanceReader(path).read();
}

const std::vector<float>* ImportanceMatrix::find(std::string_view tensor) const {
  const auto found = entries_.find(tensor);
  return found == entries_.end() ? nullptr : &found->second;
}

}  // namespace nibble
