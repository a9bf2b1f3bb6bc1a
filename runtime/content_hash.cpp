#include "runtime/content_hash.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <optional>

#include "runtime/file/atomic_file.h"
#include "runtime/file/checksum.h"
#include "runtime/file/concat.h"
#include "runtime/machine/memory.h"

namespace nibble {
namespace {

// What is kept. Little-endian, as all machines here.
struct Record {
  char magic[8] = {'n', 'i', 'b', 'b', 'l', 'e', 'I', 'D'};
  uint64_t stamps = 0;  // of all the model's files
  uint64_t content = 0;
  uint64_t checksum = 0;

  uint64_t sum() const {
    Checksum sum;
    sum.add(this, offsetof(Record, checksum));
    return sum.value();
  }
};

std::optional<uint64_t> find_record(const std::string& path, uint64_t stamps) {
  Record record;
  std::ifstream in(path, std::ios::binary);
  if (!in.read(reinterpret_cast<char*>(&record), sizeof(record))) return {};
  const bool good = record.checksum == record.sum() && record.stamps == stamps &&
                    std::equal(record.magic, std::end(record.magic), Record().magic);
  return good ? std::optional(record.content) : std::nullopt;
}

// It can be found again, or is computed again.
void keep_record(const std::string& path, uint64_t stamps, uint64_t content) {
  Record record;
  record.stamps = stamps;
  record.content = content;
  record.checksum = record.sum();
  auto file = AtomicFile::create(path);
  if (file && file->write(0, &record, sizeof(record))) static_cast<void>(file->commit());
}

}  // namespace

Result<uint64_t> content_hash(const GgufFile& file, const std::string& folder) {
  Checksum stamps;
  int64_t changed_ns = 0;
  for (const auto& mapping : file.mappings()) {
    const FileStamp& stamp = mapping->stamp();
    stamps.add_value(stamp);
    changed_ns = std::max(changed_ns, stamp.changed_ns);
  }
  char name[40];
  std::snprintf(name, sizeof(name), "/model-%016llx.nid",
                static_cast<unsigned long long>(stamps.value()));
  const auto known = find_record(folder + name, stamps.value());
  Checksum content;
  if (!known) {
    constexpr uint64_t kPiece = 8 << 20;
    for (const auto& mapping : file.mappings()) {
      for (uint64_t at = 0; at < mapping->size(); at += kPiece) {
        const uint64_t bytes = std::min(kPiece, mapping->size() - at);
        content.add(mapping->data() + at, bytes);
        mapping->drop(at, bytes);
      }
    }
    NIBBLE_TRY_VOID(file.check_read());
  }
  const bool unchanged = std::all_of(file.mappings().begin(), file.mappings().end(),
                                     [](const auto& mapping) { return mapping->is_unchanged(); });
  if (!unchanged) {
    return Error{ErrorCode::kIo, concat(file.path(), ": was changed while it was being loaded")};
  }
  if (known) return *known;
  // The clock of such times is coarse: who writes at once after might leave no trace.
  constexpr int64_t kCoarse_ns = 2'000'000'000;
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  if (changed_ns + kCoarse_ns < static_cast<int64_t>(now.tv_sec) * 1'000'000'000) {
    keep_record(folder + name, stamps.value(), content.value());
  }
  return content.value();
}

}  // namespace nibble
