#include "runtime/judge/reference_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "runtime/file/concat.h"

namespace nibble {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[8] = {'n', 'i', 'b', 'b', 'l', 'K', 'L', '1'};
constexpr float kHighestCode = 65535;
constexpr uint32_t kLongestName = 4096;

struct FileHeader {
  char magic[8];
  uint32_t ctx;
  uint32_t vocabulary;
  uint32_t chunks;
  uint32_t name_bytes;
  uint64_t vocabulary_hash;
};
static_assert(sizeof(FileHeader) == 32);

struct RowHeader {
  float highest;
  float range;
  float nll;
  int32_t top;
};
static_assert(sizeof(RowHeader) == 16);

uint64_t row_bytes_of(uint64_t vocabulary) {
  return sizeof(RowHeader) + vocabulary * sizeof(uint16_t);
}

}  // namespace

Result<ReferenceWriter> ReferenceWriter::create(const std::string& path,
                                                const ReferenceHeader& header) {
  const std::string name = header.model.substr(0, kLongestName);
  FileHeader fixed{};
  std::memcpy(fixed.magic, kMagic, sizeof(kMagic));
  fixed.ctx = static_cast<uint32_t>(header.chunks.ctx);
  fixed.vocabulary = static_cast<uint32_t>(header.vocabulary);
  fixed.chunks = static_cast<uint32_t>(header.chunks.count());
  fixed.name_bytes = static_cast<uint32_t>(name.size());
  fixed.vocabulary_hash = header.vocabulary_hash;
  const uint64_t ids_at = sizeof(fixed) + name.size();
  const uint64_t ids_bytes = header.chunks.ids.size() * sizeof(int32_t);
  const uint64_t rows = header.chunks.count() * header.chunks.predictions();
  const uint64_t rows_at = ids_at + ids_bytes;

  NIBBLE_TRY(AtomicFile file, AtomicFile::create(path));
  NIBBLE_TRY_VOID(file.reserve(rows_at + rows * row_bytes_of(header.vocabulary)));
  NIBBLE_TRY_VOID(file.write(0, &fixed, sizeof(fixed)));
  NIBBLE_TRY_VOID(file.write(sizeof(fixed), name.data(), name.size()));
  NIBBLE_TRY_VOID(file.write(ids_at, header.chunks.ids.data(), ids_bytes));
  return ReferenceWriter(std::move(file), rows_at, header.vocabulary);
}

Result<void> ReferenceWriter::write(size_t row, std::span<const float> logits,
                                    const Prediction& prediction) const {
  const float highest = logits[static_cast<size_t>(prediction.top)];
  RowHeader header{};
  header.highest = static_cast<float>(highest - prediction.log_sum);
  header.range = highest - *std::min_element(logits.begin(), logits.end());
  header.nll = static_cast<float>(prediction.nll);
  header.top = prediction.top;
  const float scale = header.range > 0 ? 1 / header.range : 0;
  std::vector<uint8_t> bytes(row_bytes_of(vocabulary_));
  std::memcpy(bytes.data(), &header, sizeof(header));
  uint8_t* to = bytes.data() + sizeof(header);
  for (const float logit : logits) {
    const float share = std::min(std::sqrt((highest - logit) * scale), 1.0f);
    const auto code = static_cast<uint16_t>(share * kHighestCode + 0.5f);
    std::memcpy(to, &code, sizeof(code));
    to += sizeof(code);
  }
  return file_.write(rows_at_ + row * bytes.size(), bytes.data(), bytes.size());
}

Result<ReferenceReader> ReferenceReader::open(const std::string& path) {
  const auto wrong = [&path](const std::string& why) {
    return Error{ErrorCode::kData,
                 concat(path, ": ", why, "; make one with nibble perplexity --kl-base")};
  };
  ReferenceReader reader;
  reader.path_ = path;
  NIBBLE_TRY(reader.file_, Mapping::open(path));
  FileHeader fixed{};
  const uint64_t size = reader.file_.size();
  if (size >= sizeof(fixed)) std::memcpy(&fixed, reader.file_.data(), sizeof(fixed));
  if (std::memcmp(fixed.magic, kMagic, sizeof(kMagic)) != 0) {
    return wrong("is not a file of reference predictions");
  }
  // With these bounds nothing below overflows but chunks * rows * bytes, which is not computed.
  if (fixed.ctx < Chunks::kLeastCtx || fixed.ctx > 1u << 24 || fixed.vocabulary == 0 ||
      fixed.vocabulary > 1u << 24 || fixed.chunks == 0 || fixed.name_bytes > kLongestName) {
    return wrong("its header is damaged");
  }
  ReferenceHeader& header = reader.header_;
  header.vocabulary = fixed.vocabulary;
  header.vocabulary_hash = fixed.vocabulary_hash;
  header.chunks.ctx = fixed.ctx;
  const uint64_t ids = uint64_t{fixed.chunks} * fixed.ctx;
  const uint64_t ids_at = sizeof(fixed) + fixed.name_bytes;
  reader.rows_at_ = ids_at + ids * sizeof(int32_t);
  const uint64_t rows = fixed.chunks * uint64_t{header.chunks.predictions()};
  const uint64_t row = row_bytes_of(fixed.vocabulary);
  if (size < reader.rows_at_ || (size - reader.rows_at_) / row != rows ||
      (size - reader.rows_at_) % row != 0) {
    return wrong("is cut or has something after its end");
  }
  header.model.assign(reinterpret_cast<const char*>(reader.file_.data()) + sizeof(fixed),
                      fixed.name_bytes);
  header.chunks.ids.resize(ids);
  std::memcpy(header.chunks.ids.data(), reader.file_.data() + ids_at, ids * sizeof(int32_t));
  for (const int32_t id : header.chunks.ids) {
    if (id < 0 || static_cast<uint32_t>(id) >= fixed.vocabulary) return wrong("has damaged tokens");
  }
  return reader;
}

Error ReferenceReader::damaged(size_t row) const {
  return {ErrorCode::kData, concat(path_, ": row ", row,
                                   " is damaged; make the file again with nibble perplexity "
                                   "--kl-base")};
}

Result<Prediction> ReferenceReader::read(size_t row, std::span<float> logits) const {
  const uint8_t* from = file_.data() + rows_at_ + row * row_bytes_of(header_.vocabulary);
  RowHeader header;
  std::memcpy(&header, from, sizeof(header));
  if (!std::isfinite(header.highest) || !(header.range >= 0 && header.range < 1e9f) ||
      !(header.nll >= -1e-3f && header.nll < 1e6f) || header.top < 0 ||
      static_cast<size_t>(header.top) >= header_.vocabulary) {
    return damaged(row);
  }
  from += sizeof(header);
  for (float& logit : logits) {
    uint16_t code = 0;
    std::memcpy(&code, from, sizeof(code));
    from += sizeof(code);
    const float share = static_cast<float>(code) / kHighestCode;
    logit = header.highest - header.range * share * share;
  }
  if (const std::optional<uint64_t> lost = file_.lost()) {
    return Error{ErrorCode::kIo, concat(path_, ": could not be read at byte ", *lost,
                                        ": it was cut short or its disk failed while in use")};
  }
  Prediction prediction = judge_row(logits, header.top);
  prediction.nll = header.nll;
  prediction.top = header.top;
  return prediction;
}

void ReferenceReader::release_before(size_t row) const {
  file_.drop(0, rows_at_ + row * row_bytes_of(header_.vocabulary));
}

}  // namespace nibble
