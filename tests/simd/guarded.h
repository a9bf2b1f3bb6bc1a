// Buffers between unreadable pages: an access one byte outside ends the test program.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace nibble {

// `count` elements whose last byte (kEnd) or first byte (kStart) touches an unreadable page.
enum class GuardSide { kStart, kEnd };

template <typename T>
class Guarded {
 public:
  Guarded(size_t count, GuardSide side) : count_(count) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t inner = (count * sizeof(T) + page - 1) / page * page;
    mapped_bytes_ = inner + 2 * page;
    void* memory =
        mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("mmap");
    mapping_ = static_cast<char*>(memory);
    char* first = mapping_ + page;
    if (mprotect(mapping_, page, PROT_NONE) != 0 || mprotect(first + inner, page, PROT_NONE) != 0) {
      throw std::runtime_error("mprotect");
    }
    data_ =
        reinterpret_cast<T*>(side == GuardSide::kStart ? first : first + inner - count * sizeof(T));
  }
  Guarded(const std::vector<T>& values, GuardSide side) : Guarded(values.size(), side) {
    if (count_ > 0) std::memcpy(data_, values.data(), count_ * sizeof(T));
  }
  ~Guarded() { munmap(mapping_, mapped_bytes_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  size_t size() const { return count_; }
  std::vector<T> copy() const { return std::vector<T>(data_, data_ + count_); }

 private:
  size_t count_;
  size_t mapped_bytes_ = 0;
  char* mapping_ = nullptr;
  T* data_ = nullptr;
};

}  // namespace nibble
