#include "tools/nibble/hub/import.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include "runtime/file/atomic_file.h"
#include "runtime/file/concat.h"
#include "runtime/file/gguf.h"
#include "tools/nibble/hub/sha256.h"

namespace nibble::hub {
namespace {

namespace fs = std::filesystem;

struct Copying {
  uint64_t done = 0;
  uint64_t total = 0;
  const ImportOptions* options = nullptr;
};

Result<void> copy_file(const std::string& from, const std::string& to, Copying* copying) {
  const int fd = open(from.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Error{ErrorCode::kNoInput, concat(from, ": ", std::strerror(errno))};
  const auto copy = [&]() -> Result<void> {
    NIBBLE_TRY(AtomicFile file, AtomicFile::create(to));
    std::vector<char> buffer(4 << 20);
    Sha256 sum;
    Record record;
    while (true) {
      const ssize_t got = read(fd, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Error{ErrorCode::kIo, concat(from, ": ", std::strerror(errno))};
      if (got == 0) break;
      sum.update(buffer.data(), static_cast<size_t>(got));
      NIBBLE_TRY_VOID(file.write(record.bytes, buffer.data(), static_cast<size_t>(got)));
      record.bytes += static_cast<uint64_t>(got);
      copying->done += static_cast<uint64_t>(got);
      if (copying->options->progress &&
          !copying->options->progress(static_cast<double>(copying->done) /
                                      static_cast<double>(copying->total))) {
        return Error{ErrorCode::kInterrupted, "interrupted while copying"};
      }
    }
    record.from = fs::absolute(from).string();
    record.sha256 = sum.finish();
    record.time = utc_now();
    NIBBLE_TRY_VOID(write_record(to, record));
    return file.commit();
  };
  auto result = copy();
  close(fd);
  return result;
}

Result<void> link_file(const std::string& from, const std::string& to) {
  std::error_code error;
  const fs::path target = fs::canonical(from, error);
  if (error) return Error{ErrorCode::kNoInput, concat(from, ": ", error.message())};
  if (symlink(target.c_str(), to.c_str()) == 0) return {};
  return Error{ErrorCode::kCannotCreate, concat(to, ": ", std::strerror(errno))};
}

}  // namespace

Result<KnownModel> import_model(const Store& store, const std::string& file,
                                const ImportOptions& options) {
  NIBBLE_TRY([[maybe_unused]] const GgufFile opened, GgufFile::open(file));
  const auto shard = shard_of(file);
  const std::string base = file.substr(file.find_last_of('/') + 1);
  const auto base_shard = shard_of(base);
  std::string name = options.name;
  if (name.empty()) name = base_shard ? base_shard->base : base;
  if (options.name.empty() && name.ends_with(".gguf")) name.resize(name.size() - 5);
  NIBBLE_TRY(const std::string place, store.place_of_import(name));
  const std::vector<std::string> from = shard_names(file);
  std::string first = place;
  if (shard && from.size() > 1) {
    first = place.substr(0, place.size() - 5) + file.substr(shard->base.size());
  }
  const std::vector<std::string> to = shard_names(first);
  struct stat info = {};
  if (lstat(first.c_str(), &info) == 0) {
    return Error{ErrorCode::kUsage, concat("'", name, "' is in the store already: ", first,
                                           "; choose another name, or first: nibble rm ", name)};
  }
  NIBBLE_TRY_VOID(make_folders_for(first));
  Copying copying;
  copying.options = &options;
  copying.total = model_bytes(file);
  // The first shard last: a model is there once its first file is.
  for (size_t i = from.size(); i-- > 0;) {
    NIBBLE_TRY_VOID(options.link ? link_file(from[i], to[i]) : copy_file(from[i], to[i], &copying));
  }
  return KnownModel{name, first, model_bytes(first), type_of(first), "nibble"};
}

}  // namespace nibble::hub
