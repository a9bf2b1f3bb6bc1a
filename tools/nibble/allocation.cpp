// Memory that is refused is std::bad_alloc, which the readers and main() turn into an error.
// mimalloc as Debian compiles it, as C, ends the process without a word instead (its operator new
// knows no exceptions); its malloc() does not.
#include <cstdlib>
#include <new>

namespace {

void* checked(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void* aligned(std::size_t bytes, std::align_val_t alignment) {
  void* memory = nullptr;
  return posix_memalign(&memory, static_cast<std::size_t>(alignment), bytes) == 0 ? memory
                                                                                  : nullptr;
}

}  // namespace

void* operator new(std::size_t bytes) {
  return checked(std::malloc(bytes));
}

void* operator new[](std::size_t bytes) {
  return checked(std::malloc(bytes));
}

void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return checked(aligned(bytes, alignment));
}

void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return checked(aligned(bytes, alignment));
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}

void operator delete[](void* memory) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}

void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
