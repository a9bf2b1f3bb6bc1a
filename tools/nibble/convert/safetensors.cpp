#include "tools/nibble/convert/safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "runtime/file/check.h"
#include "runtime/file/concat.h"
#include "tools/nibble/convert/json_file.h"

namespace nibble::cli {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kHeaderMax = 100'000'000;  // the format's own limit
constexpr std::string_view kDamaged = "; the file is damaged, download it again";

struct Dtype {
  std::string_view name;
  uint64_t bytes;
};
constexpr Dtype kDtypes[] = {
    {"F32", 4}, {"F16", 2}, {"BF16", 2},    {"F64", 8},     {"BOOL", 1},    {"U8", 1},
    {"I8", 1},  {"U16", 2}, {"I16", 2},     {"U32", 4},     {"I32", 4},     {"U64", 8},
    {"I64", 8}, {"C64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}, {"F8_E4M3FNUZ", 1},
};

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {}

  Result<SafetensorsFile> read() {
    NIBBLE_TRY(Mapping mapping, Mapping::open(path_));
    file_.mapping = std::make_unique<Mapping>(std::move(mapping));
    NIBBLE_TRY_VOID(find_header());
    NIBBLE_TRY(const Json header, parse_json_object(header_, path_ + ": header"));
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      NIBBLE_TRY(SafetensorsTensor tensor, read_entry(name, entry));
      file_.tensors.push_back(std::move(tensor));
    }
    NIBBLE_TRY_VOID(place());
    return std::move(file_);
  }

 private:
  Result<void> find_header() {
    const uint8_t* data = file_.mapping->data();
    const uint64_t size = file_.mapping->size();
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (text.starts_with("version https://git-lfs")) {
      return bad(
          "is a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull`");
    }
    if (size < kLengthBytes)
      return bad(concat("has ", size, " bytes, not even a header", kDamaged));
    uint64_t length = 0;
    std::memcpy(&length, data, sizeof(length));
    if (length < 2 || length > kHeaderMax) {
      return bad(concat("is not a safetensors file: its header would have ", length,
                        " bytes, must be 2 to ", kHeaderMax));
    }
    if (length > size - kLengthBytes) {
      return bad(concat("its header has ", length, " bytes, but the file only ", size,
                        "; the download is incomplete, download it again"));
    }
    header_ = text.substr(kLengthBytes, length);
    data_start_ = kLengthBytes + length;
    return {};
  }

  Result<SafetensorsTensor> read_entry(const std::string& name, const Json& entry) const {
    SafetensorsTensor tensor;
    tensor.name = name;
    const auto wrong = [&](std::string_view what) {
      return bad(concat("tensor ", nibble::quoted(name), ": ", what, kDamaged));
    };
    if (!entry.is_object()) return wrong("its entry is not an object");
    const JsonObject object(path_, entry, concat(name, "."));
    NIBBLE_TRY(tensor.dtype, object.text("dtype"));
    const auto* dtype = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                     [&](const Dtype& row) { return row.name == tensor.dtype; });
    if (dtype == std::end(kDtypes)) {
      return bad(concat("tensor ", nibble::quoted(name), ": type ", nibble::quoted(tensor.dtype),
                        " is not known; nibble converts F32, F16 and BF16"));
    }
    constexpr size_t kMostDims = 8;
    std::vector<uint64_t> offsets;
    NIBBLE_TRY(tensor.shape, wholes(object, "shape", 0, kMostDims));
    NIBBLE_TRY(offsets, wholes(object, "data_offsets", 2, 2));
    std::optional<uint64_t> bytes = dtype->bytes;
    for (const uint64_t dim : tensor.shape) bytes = bytes ? checked_mul(*bytes, dim) : bytes;
    if (!bytes) {
      return wrong(concat("shape ", shape_text(tensor.shape), " has more than 2^64 bytes"));
    }
    if (offsets[1] < offsets[0] || offsets[1] - offsets[0] != *bytes) {
      return wrong(concat("data_offsets ", shape_text(offsets), " do not span the ", *bytes,
                          " bytes of shape ", shape_text(tensor.shape), " in ", tensor.dtype));
    }
    tensor.offset = offsets[0];  // from the start of the data until place()
    tensor.bytes = *bytes;
    return tensor;
  }

  Result<std::vector<uint64_t>> wholes(const JsonObject& object, const char* key, size_t least,
                                       size_t most) const {
    NIBBLE_TRY(const Json* array, object.array(key));
    if (array == nullptr) return object.error(key, "is missing");
    if (array->size() < least || array->size() > most) {
      return object.error(key, concat("has ", array->size(), " numbers", kDamaged));
    }
    std::vector<uint64_t> numbers;
    for (const Json& number : *array) {
      if (!number.is_number_unsigned()) {
        return object.error(key, concat("holds something else than whole numbers", kDamaged));
      }
      numbers.push_back(number.get<uint64_t>());
    }
    return numbers;
  }

  // The data must follow each other from the header to the end of the file.
  Result<void> place() {
    std::vector<SafetensorsTensor>& tensors = file_.tensors;
    std::stable_sort(tensors.begin(), tensors.end(),
                     [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
                       return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
                     });
    const uint64_t size = file_.mapping->size() - data_start_;
    uint64_t end = 0;
    const SafetensorsTensor* last = nullptr;
    for (SafetensorsTensor& tensor : tensors) {
      if (tensor.offset != end) {
        return bad(concat(
            "tensor ", nibble::quoted(tensor.name), ": starts at byte ", tensor.offset,
            tensor.offset < end ? " inside of " : " after a hole behind ",
            last == nullptr ? std::string("the header") : nibble::quoted(last->name), kDamaged));
      }
      end += tensor.bytes;  // data_offsets[1], which is 64 bits
      last = &tensor;
    }
    if (end > size) {
      return bad(concat("needs ", data_start_ + end, " bytes, has ", data_start_ + size,
                        "; the download is incomplete, download it again"));
    }
    if (end < size) {
      return bad(concat("has ", size - end, " bytes behind its last tensor", kDamaged));
    }
    for (SafetensorsTensor& tensor : tensors) {
      tensor.offset += data_start_;
      tensor.data = file_.mapping->data() + tensor.offset;
    }
    return {};
  }

  Error bad(std::string_view what) const { return {ErrorCode::kData, concat(path_, ": ", what)}; }

  const std::string& path_;
  SafetensorsFile file_;
  std::string_view header_;
  uint64_t data_start_ = 0;
};

}  // namespace

Result<SafetensorsFile> read_safetensors(const std::string& path) {
  return Reader(path).read();
}

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (const uint64_t dim : shape) text += concat(text.size() > 1 ? ", " : "", dim);
  return text + "]";
}

}  // namespace nibble::cli
