#include "runtime/machine/placement.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <vector>

#include "runtime/machine/memory.h"

namespace nibble {

bool place_pages(const void* begin, size_t bytes, std::span<const int> nodes) {
  if (bytes == 0 || nodes.empty()) return true;
  constexpr size_t kBits = sizeof(unsigned long) * CHAR_BIT;
  const auto highest = static_cast<size_t>(*std::max_element(nodes.begin(), nodes.end()));
  std::vector<unsigned long> mask(highest / kBits + 1);
  for (const int node : nodes) {
    mask[static_cast<size_t>(node) / kBits] |= 1UL << static_cast<size_t>(node) % kBits;
  }
  const size_t page = page_size_bytes();
  const auto first = reinterpret_cast<uintptr_t>(begin) / page * page;
  const auto last = (reinterpret_cast<uintptr_t>(begin) + bytes + page - 1) / page * page;
  // Preferred and not bound: a process that is bound to a full node is killed.
  const int mode = nodes.size() == 1 ? MPOL_PREFERRED : MPOL_INTERLEAVE;
  // The kernel reads one bit less than it is told.
  return syscall(SYS_mbind, first, last - first, mode, mask.data(), mask.size() * kBits + 1, 0) ==
         0;
}

PageSample sample_pages(const void* begin, size_t bytes, int node, size_t most) {
  const size_t page = page_size_bytes();
  const auto first = reinterpret_cast<uintptr_t>(begin) / page;
  const auto last = (reinterpret_cast<uintptr_t>(begin) + bytes + page - 1) / page;
  const size_t count = std::min<size_t>(last - first, most);
  std::vector<void*> pages;
  for (size_t i = 0; i < count; ++i) {
    pages.push_back(reinterpret_cast<void*>((first + (last - first) * i / count) * page));
  }
  std::vector<int> where(count, -1);
  PageSample sample;
  // Without nodes to move to it only tells where the pages are; negative: not there.
  if (count == 0 ||
      syscall(SYS_move_pages, 0, count, pages.data(), nullptr, where.data(), 0) != 0) {
    return sample;
  }
  for (const int each : where) {
    sample.pages += each >= 0;
    sample.right += each == node;
  }
  return sample;
}

}  // namespace nibble
