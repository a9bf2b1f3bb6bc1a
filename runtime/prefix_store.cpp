#include "runtime/prefix_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <tuple>
#include <utility>

#include "nibble/nibble.h"
#include "runtime/file/atomic_file.h"
#include "runtime/file/checksum.h"
#include "runtime/file/concat.h"
#include "simd/abi.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::array<char, 8> kMagic = {'n', 'i', 'b', 'b', 'l', 'e', 'K', 'V'};
constexpr uint32_t kLayoutVersion = 1;
constexpr std::string_view kSuffix = ".nkv";
constexpr size_t kWaitingMax = 64;  // blocks; those that come then are not kept

// The beginning of a file; tokens (int32) and state follow. Little-endian, as all machines here.
struct Header {
  std::array<char, 8> magic = kMagic;
  uint32_t layout = kLayoutVersion;
  uint32_t tokens = 0;
  uint64_t identity = 0;
  uint64_t state_bytes = 0;
  uint64_t checksum = 0;  // of all that is before and behind it
};
static_assert(sizeof(Header) == 40);

uint64_t checksum_of(const Header& header, std::span<const int32_t> tokens,
                     std::span<const uint8_t> state) {
  Checksum sum;
  Header plain = header;
  plain.checksum = 0;
  sum.add_value(plain);
  sum.add(tokens.data(), tokens.size_bytes());
  sum.add(state.data(), state.size());
  return sum.value();
}

// "0123456789abcdef-8.nkv": which, and its number in the conversation.
bool is_name(std::string_view name) {
  if (!name.ends_with(kSuffix)) return false;
  name.remove_suffix(kSuffix.size());
  return name.size() > 17 && name.size() < 30 && name[16] == '-' &&
         name.substr(0, 16).find_first_not_of("0123456789abcdef") == std::string_view::npos &&
         name.substr(17).find_first_not_of("0123456789") == std::string_view::npos;
}

// Reads exactly so many bytes.
bool read_all(int fd, void* to, size_t bytes) {
  auto* at = static_cast<uint8_t*>(to);
  while (bytes > 0) {
    const ssize_t got = read(fd, at, bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

class File {
 public:
  explicit File(const std::string& path)
      : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

uint64_t prefix_identity(uint64_t content, const KvCache& cache, int64_t variant) {
  Checksum sum;
  sum.add(version());
  sum.add_value(content);
  sum.add_value(static_cast<int64_t>(cache.format()));
  sum.add_value(static_cast<uint64_t>(cache.state_bytes()));
  sum.add_value(variant);
  return sum.value();
}

Result<void> PrefixStore::make_folder(const std::string& folder) {
  std::error_code error;
  const bool made = fs::create_directories(folder, error);
  if (!error && made) fs::permissions(folder, fs::perms::owner_all, error);  // prompts are private
  if (error || !fs::is_directory(folder) || access(folder.c_str(), W_OK | X_OK) != 0) {
    const bool denied =
        error == std::errc::permission_denied || (!error && fs::is_directory(folder));
    return Error{denied ? ErrorCode::kPermission : ErrorCode::kCannotCreate,
                 concat(folder, ": cannot be used for the prefix cache: ",
                        error ? error.message() : "it is no folder that can be written",
                        "; choose another folder")};
  }
  return {};
}

std::unique_ptr<PrefixStore> PrefixStore::open(const std::string& folder, uint64_t budget_bytes,
                                               uint64_t identity, Note note) {
  std::error_code error;
  std::unique_ptr<PrefixStore> store(
      new PrefixStore(folder, budget_bytes, identity, std::move(note)));
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (is_name(name)) store->names_.insert(name);
  }
  store->make_room(0);
  store->thread_ = std::thread([raw = store.get()] { raw->run(); });
  return store;
}

PrefixStore::~PrefixStore() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

std::string PrefixStore::name_of(std::span<const int32_t> tokens) const {
  Checksum sum;
  sum.add_value(identity_);
  sum.add(tokens.data(), tokens.size_bytes());
  char name[48];
  std::snprintf(name, sizeof(name), "%016llx-%zu%s", static_cast<unsigned long long>(sum.value()),
                tokens.size() / NIBBLE_KEY_BLOCK, kSuffix.data());
  return name;
}

void PrefixStore::tell(const std::string& text) const {
  if (note_) note_(text);
}

bool PrefixStore::has(std::span<const int32_t> tokens) const {
  const std::string name = name_of(tokens);
  return names_.count(name) > 0 && refused_.count(name) == 0;
}

bool PrefixStore::load(std::span<const int32_t> tokens, std::span<uint8_t> state) {
  if (!has(tokens)) return false;
  const std::string name = name_of(tokens);
  const std::string path = folder_ + "/" + name;
  const auto refuse = [&](const char* why) {
    refused_.insert(name);
    tell(concat(path, ": ", why, "; it is not used"));
    return false;
  };
  const File file(path);
  struct stat info = {};
  if (file.fd() < 0 || fstat(file.fd(), &info) != 0) {
    names_.erase(name);  // someone made room, or it is still to be written
    return false;
  }
  Header header;
  const uint64_t bytes = sizeof(header) + tokens.size_bytes() + state.size();
  if (!S_ISREG(info.st_mode) || !read_all(file.fd(), &header, sizeof(header)) ||
      header.magic != kMagic) {
    return refuse("is no file of the prefix cache");
  }
  if (header.layout != kLayoutVersion || header.identity != identity_ ||
      header.tokens != tokens.size() || header.state_bytes != state.size()) {
    return refuse("is of another model or version");
  }
  std::vector<int32_t> own(tokens.size());
  if (static_cast<uint64_t>(info.st_size) != bytes ||
      !read_all(file.fd(), own.data(), tokens.size_bytes()) ||
      !read_all(file.fd(), state.data(), state.size()) ||
      header.checksum != checksum_of(header, own, state)) {
    return refuse("is damaged");
  }
  if (!std::ranges::equal(own, tokens)) return refuse("is of other tokens");
  // Seconds, so that the blocks of one conversation are of one time: then the last go first.
  const timespec now[2] = {{std::time(nullptr), 0}, {std::time(nullptr), 0}};
  static_cast<void>(utimensat(AT_FDCWD, path.c_str(), now, 0));
  return true;
}

void PrefixStore::save(std::vector<int32_t> tokens, std::span<const uint8_t> state,
                       std::shared_ptr<const void> owner) {
  std::string name = name_of(tokens);
  if (refused_.count(name) > 0 || names_.count(name) > 0) return;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kWaitingMax) return;
    waiting_.push_back({name, std::move(tokens), state, std::move(owner)});
  }
  names_.insert(std::move(name));
  wake_.notify_all();
}

void PrefixStore::flush() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return waiting_.empty() && !writing_; });
}

void PrefixStore::run() {
  bool told = false;
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Waiting block = std::move(waiting_.front());
    waiting_.pop_front();
    writing_ = true;
    lock.unlock();
    const auto written = write(block);
    if (!written && !std::exchange(told, true)) tell(written.error().message);
    block = {};
    lock.lock();
    writing_ = false;
    wake_.notify_all();
  }
}

Result<void> PrefixStore::write(const Waiting& block) const {
  Header header;
  header.tokens = static_cast<uint32_t>(block.tokens.size());
  header.identity = identity_;
  header.state_bytes = block.state.size();
  header.checksum = checksum_of(header, block.tokens, block.state);
  const uint64_t token_bytes = block.tokens.size() * sizeof(int32_t);
  const uint64_t bytes = sizeof(header) + token_bytes + block.state.size();
  if (bytes > budget_) return {};
  make_room(bytes);
  NIBBLE_TRY(AtomicFile file, AtomicFile::create(folder_ + "/" + block.name));
  NIBBLE_TRY_VOID(file.write(0, &header, sizeof(header)));
  NIBBLE_TRY_VOID(file.write(sizeof(header), block.tokens.data(), token_bytes));
  NIBBLE_TRY_VOID(file.write(sizeof(header) + token_bytes, block.state.data(), block.state.size()));
  return file.commit();
}

// Removes the least lately used of our files, until `bytes` more have room. Rests of writing that
// was killed are ours too.
void PrefixStore::make_room(uint64_t bytes) const {
  struct Found {
    int64_t time;
    uint64_t behind;  // blocks of its conversation that are before it
    uint64_t bytes;
    std::string path;
  };
  std::vector<Found> files;
  uint64_t sum = bytes;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    struct stat info = {};
    if (lstat(entry.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    constexpr int64_t kLeftAfter = 3600;  // seconds; nothing takes so long to write
    const size_t end = name.find(kSuffix);
    if (name.ends_with(".tmp") && end != std::string::npos &&
        is_name(name.substr(0, end + kSuffix.size())) &&
        info.st_mtim.tv_sec + kLeftAfter < std::time(nullptr)) {
      fs::remove(entry.path(), error);
    }
    if (!is_name(name)) continue;
    sum += static_cast<uint64_t>(info.st_size);
    files.push_back({info.st_mtim.tv_sec, std::stoull(name.substr(17)),
                     static_cast<uint64_t>(info.st_size), entry.path().string()});
  }
  if (sum <= budget_) return;
  std::sort(files.begin(), files.end(), [](const Found& a, const Found& b) {
    return std::tuple(a.time, b.behind) < std::tuple(b.time, a.behind);
  });
  for (const Found& file : files) {
    if (sum <= budget_) return;
    if (fs::remove(file.path, error)) sum -= file.bytes;
  }
}

}  // namespace nibble
