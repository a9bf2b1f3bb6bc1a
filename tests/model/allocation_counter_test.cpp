// Counts every allocation of this test program; a file of its own, so that no compiler inlines it.
#include <atomic>
#include <cstdlib>
#include <new>

extern std::atomic<size_t> nibble_test_allocations;
std::atomic<size_t> nibble_test_allocations{0};

void* operator new(size_t size) {
  ++nibble_test_allocations;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
// Not counted, but from where delete gives back: sanitizers check that the two belong together.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(size);
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, size_t) noexcept {
  std::free(p);
}
