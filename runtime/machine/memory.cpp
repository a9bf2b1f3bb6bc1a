// Mappings and buffers over mmap (see memory.h). Which limit refuses memory is worked out here, so
// that the message can say what to change. Read next: cgroup.h.
#include "runtime/machine/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

#include "runtime/machine/cgroup.h"
#include "runtime/machine/lost_pages.h"

namespace nibble {
namespace {

constexpr size_t kHugeAdviceBytes = size_t{4} << 20;

std::string mib(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

// Address space in use by this process; 0 when /proc is hidden.
uint64_t address_space_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long pages = 0;
  if (std::fscanf(file, "%llu", &pages) != 1) pages = 0;
  std::fclose(file);
  return pages * page_size_bytes();
}

// "need X for WHAT; allowed Y": names the limit that explains the failure `error` of mmap.
Error refused(uint64_t bytes, const std::string& what, int error) {
  std::string message = "need " + mib(bytes) + " for " + what + "; ";
  rlimit limit{};
  if (error == ENOMEM && getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    const uint64_t used = address_space_bytes();
    const uint64_t left = limit.rlim_cur > used ? limit.rlim_cur - used : 0;
    if (bytes > left) {
      return {ErrorCode::kOs, message + "allowed " + mib(left) +
                                  " more: the address-space limit is " + mib(limit.rlim_cur) +
                                  ". Raise it (ulimit -v)"};
    }
  }
  return {ErrorCode::kOs, message + "the system refused it: " + std::strerror(error)};
}

// mmap gives what the control group will not let us touch: the process would be killed later.
Result<void> fits_cgroup(uint64_t bytes, const char* what) {
  const uint64_t limit = read_cgroup_limits().memory_limit_bytes;
  if (limit == 0 || bytes <= limit) return {};
  return Error{ErrorCode::kOs, "need " + mib(bytes) + " for " + what + "; allowed " + mib(limit) +
                                   ", the memory limit of this container (cgroup). Raise it"};
}

Error open_error(const std::string& path, int error) {
  const std::string message = path + ": " + std::strerror(error);
  if (error == EACCES || error == EPERM) return {ErrorCode::kPermission, message};
  if (error == EMFILE || error == ENFILE || error == ENOMEM) return {ErrorCode::kOs, message};
  return {ErrorCode::kNoInput, message};
}

const char* kind_of_file(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "a socket";
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

size_t page_size_bytes() {
  return static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

namespace {

FileStamp stamp_of(const struct stat& status) {
  const auto ns = [](const timespec& time) {
    return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
  };
  return {status.st_dev, status.st_ino, static_cast<uint64_t>(status.st_size), ns(status.st_mtim),
          ns(status.st_ctim)};
}

}  // namespace

Result<Mapping> Mapping::open(const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    return Error{ErrorCode::kNoInput, "a file name contains a NUL byte"};
  }
  // O_NONBLOCK: opening a FIFO must not wait for a writer. It means nothing for regular files.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (file.get() < 0) return open_error(path, errno);
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return open_error(path, errno);
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kNoInput,
                 path + ": is " + kind_of_file(status.st_mode) + ", need a regular file"};
  }
  if (status.st_size <= 0) return Error{ErrorCode::kData, path + ": the file is empty"};

  const auto bytes = static_cast<uint64_t>(status.st_size);
  if (bytes > std::numeric_limits<size_t>::max()) return refused(bytes, path, EOVERFLOW);
  void* data = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) return refused(bytes, path, errno);
  Mapping mapping;
  mapping.data_ = static_cast<const uint8_t*>(data);
  mapping.size_ = bytes;
  mapping.path_ = path;
  mapping.stamp_ = stamp_of(status);
  mapping.watch_ = watch_pages(mapping.data_, bytes);
  return mapping;
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)),
      stamp_(other.stamp_),
      watch_(std::exchange(other.watch_, -1)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  Mapping taken(std::move(other));
  std::swap(data_, taken.data_);
  std::swap(size_, taken.size_);
  std::swap(path_, taken.path_);
  std::swap(stamp_, taken.stamp_);
  std::swap(watch_, taken.watch_);
  return *this;
}

bool Mapping::is_file(const std::string& path) const {
  struct stat status {};
  return data_ != nullptr && stat(path.c_str(), &status) == 0 && status.st_dev == stamp_.device &&
         status.st_ino == stamp_.inode;
}

bool Mapping::is_unchanged() const {
  struct stat status {};
  return stat(path_.c_str(), &status) == 0 && stamp_of(status) == stamp_;
}

Mapping::~Mapping() {
  unwatch_pages(watch_);
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

std::optional<uint64_t> Mapping::lost() const {
  return lost_page(watch_);
}

void Mapping::drop(uint64_t offset, uint64_t bytes) const {
  const uint64_t page = page_size_bytes();
  offset = std::min(offset, size_);
  const uint64_t end = offset + std::min(bytes, size_ - offset);
  const uint64_t first = (offset + page - 1) / page * page;
  // Behind the file's end there is nothing to keep: its last page counts as whole.
  const uint64_t last = end == size_ ? end : end / page * page;
  if (first >= last) return;
  madvise(const_cast<uint8_t*>(data_) + first, last - first, MADV_DONTNEED);
}

void Mapping::will_need(uint64_t offset, uint64_t bytes) const {
  offset = std::min(offset, size_);
  const uint64_t end = offset + std::min(bytes, size_ - offset);
  const uint64_t first = offset / page_size_bytes() * page_size_bytes();
  if (first >= end) return;
  madvise(const_cast<uint8_t*>(data_) + first, end - first, MADV_WILLNEED);
}

Result<Buffer> Buffer::allocate(size_t bytes, const char* what) {
  Buffer buffer;
  if (bytes == 0) return buffer;
  if (bytes >= kHugeAdviceBytes) NIBBLE_TRY_VOID(fits_cgroup(bytes, what));
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return refused(bytes, what, errno);
  // Advice only: where huge pages are off it fails, and small pages do.
  if (bytes >= kHugeAdviceBytes) madvise(data, bytes, MADV_HUGEPAGE);
  buffer.data_ = static_cast<uint8_t*>(data);
  buffer.size_ = bytes;
  return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  Buffer taken(std::move(other));
  std::swap(data_, taken.data_);
  std::swap(size_, taken.size_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace nibble
