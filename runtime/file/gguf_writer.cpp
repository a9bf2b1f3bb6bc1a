#include "runtime/file/gguf_writer.h"

#include <bit>
#include <type_traits>

#include "runtime/file/check.h"

namespace nibble {
namespace {

template <typename T>
void put(std::string* out, T value) {
  static_assert(std::is_arithmetic_v<T> && std::endian::native == std::endian::little);
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void put_string(std::string* out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out->append(text);
}

void put_type(std::string* out, GgufType type) {
  put(out, static_cast<uint32_t>(type));
}

// A widened number in the width of its type; exact, because it was read from that width.
template <typename Wide>
void put_number(std::string* out, GgufType type, Wide value) {
  switch (type) {
    case GgufType::kUint8:
      return put(out, static_cast<uint8_t>(value));
    case GgufType::kInt8:
      return put(out, static_cast<int8_t>(value));
    case GgufType::kUint16:
      return put(out, static_cast<uint16_t>(value));
    case GgufType::kInt16:
      return put(out, static_cast<int16_t>(value));
    case GgufType::kUint32:
      return put(out, static_cast<uint32_t>(value));
    case GgufType::kInt32:
      return put(out, static_cast<int32_t>(value));
    case GgufType::kUint64:
      return put(out, static_cast<uint64_t>(value));
    case GgufType::kInt64:
      return put(out, static_cast<int64_t>(value));
    case GgufType::kFloat32:
      return put(out, static_cast<float>(value));
    case GgufType::kFloat64:
      return put(out, static_cast<double>(value));
    case GgufType::kBool:
      return put(out, static_cast<uint8_t>(value != Wide{}));
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  NIBBLE_CHECK(!"a number with a type that is none");
}

void put_array(std::string* out, const GgufArray& array) {
  put_type(out, array.type);
  put<uint64_t>(out, array.size());
  for (const uint64_t value : array.uints) put_number(out, array.type, value);
  for (const int64_t value : array.ints) put_number(out, array.type, value);
  for (const double value : array.floats) put_number(out, array.type, value);
  for (const std::string& text : array.strings) put_string(out, text);
}

template <typename T>
void put_span(std::string* out, GgufType type, std::span<const T> values) {
  put_type(out, type);
  put<uint64_t>(out, values.size());
  for (const T& value : values) {
    if constexpr (std::is_same_v<T, std::string>) {
      put_string(out, value);
    } else {
      put(out, value);
    }
  }
}

uint64_t round_up(uint64_t size, uint64_t alignment) {
  return (size + alignment - 1) & ~(alignment - 1);
}

}  // namespace

GgufWriter::GgufWriter(uint32_t alignment) : alignment_(alignment) {
  NIBBLE_CHECK(std::has_single_bit(alignment) && alignment >= 8 && alignment <= (1u << 20));
  if (alignment != 32) add_uint32("general.alignment", alignment);
}

void GgufWriter::add_key(std::string_view key, GgufType type) {
  NIBBLE_CHECK(!file_ && !key.empty());
  put_string(&metadata_, key);
  put_type(&metadata_, type);
  ++key_count_;
}

void GgufWriter::add(std::string_view key, const GgufValue& value) {
  add_key(key, value.type);
  if (const auto* array = std::get_if<GgufArray>(&value.data)) return put_array(&metadata_, *array);
  if (const auto* text = std::get_if<std::string>(&value.data))
    return put_string(&metadata_, *text);
  if (const auto* number = std::get_if<uint64_t>(&value.data)) {
    return put_number(&metadata_, value.type, *number);
  }
  if (const auto* number = std::get_if<int64_t>(&value.data)) {
    return put_number(&metadata_, value.type, *number);
  }
  if (const auto* number = std::get_if<double>(&value.data)) {
    return put_number(&metadata_, value.type, *number);
  }
  put_number(&metadata_, value.type, std::get<bool>(value.data));
}

void GgufWriter::add_uint32(std::string_view key, uint32_t value) {
  add_key(key, GgufType::kUint32);
  put(&metadata_, value);
}

void GgufWriter::add_float32(std::string_view key, float value) {
  add_key(key, GgufType::kFloat32);
  put(&metadata_, value);
}

void GgufWriter::add_bool(std::string_view key, bool value) {
  add_key(key, GgufType::kBool);
  put(&metadata_, static_cast<uint8_t>(value));
}

void GgufWriter::add_string(std::string_view key, std::string_view value) {
  add_key(key, GgufType::kString);
  put_string(&metadata_, value);
}

void GgufWriter::add_int32s(std::string_view key, std::span<const int32_t> values) {
  add_key(key, GgufType::kArray);
  put_span(&metadata_, GgufType::kInt32, values);
}

void GgufWriter::add_float32s(std::string_view key, std::span<const float> values) {
  add_key(key, GgufType::kArray);
  put_span(&metadata_, GgufType::kFloat32, values);
}

void GgufWriter::add_strings(std::string_view key, std::span<const std::string> values) {
  add_key(key, GgufType::kArray);
  put_span(&metadata_, GgufType::kString, values);
}

size_t GgufWriter::add_tensor(std::string_view name, uint32_t type_id,
                              const std::vector<uint64_t>& dims) {
  const GgufTypeInfo type = gguf_type_info(type_id);
  NIBBLE_CHECK(!file_ && !name.empty() && !type.name.empty());
  NIBBLE_CHECK(!dims.empty() && dims.size() <= 4 && dims[0] % type.block == 0);
  uint64_t bytes = type.block_bytes;
  for (size_t i = 0; i < dims.size(); ++i) {
    const auto product = checked_mul(bytes, i == 0 ? dims[i] / type.block : dims[i]);
    NIBBLE_CHECK(product && *product > 0);
    bytes = *product;
  }
  put_string(&tensor_table_, name);
  put(&tensor_table_, static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) put(&tensor_table_, dim);
  put(&tensor_table_, type_id);
  put(&tensor_table_, data_bytes_);
  tensors_.push_back({data_bytes_, bytes});
  data_bytes_ += round_up(bytes, alignment_);
  return tensors_.size() - 1;
}

size_t GgufWriter::add_tensor(std::string_view name, Format format,
                              const std::vector<uint64_t>& dims) {
  return add_tensor(name, format_info(format).gguf_id, dims);
}

Result<void> GgufWriter::create(const std::string& path) {
  NIBBLE_CHECK(!file_);
  std::string header = "GGUF";
  put<uint32_t>(&header, 3);
  put<uint64_t>(&header, tensors_.size());
  put(&header, key_count_);
  header += metadata_;
  header += tensor_table_;
  data_start_ = round_up(header.size(), alignment_);
  uint64_t unwritten = 0;
  for (const Tensor& tensor : tensors_) unwritten += tensor.bytes;
  unwritten_bytes_ = unwritten;

  NIBBLE_TRY(AtomicFile file, AtomicFile::create(path));
  NIBBLE_TRY_VOID(file.reserve(tensors_.empty() ? header.size() : data_start_ + data_bytes_));
  NIBBLE_TRY_VOID(file.write(0, header.data(), header.size()));
  file_.emplace(std::move(file));
  return {};
}

Result<void> GgufWriter::write(size_t tensor, uint64_t offset, const void* data, size_t bytes) {
  NIBBLE_CHECK(file_ && tensor < tensors_.size());
  const Tensor& place = tensors_[tensor];
  NIBBLE_CHECK(offset <= place.bytes && bytes <= place.bytes - offset);
  NIBBLE_TRY_VOID(file_->write(data_start_ + place.offset + offset, data, bytes));
  unwritten_bytes_ -= bytes;
  return {};
}

Result<void> GgufWriter::commit() {
  NIBBLE_CHECK(file_ && unwritten_bytes_ == 0);
  return file_->commit();
}

}  // namespace nibble
