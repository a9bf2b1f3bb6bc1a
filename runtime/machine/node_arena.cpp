#include "runtime/machine/node_arena.h"

namespace nibble {

size_t NodeArena::reserve(size_t node, size_t bytes) {
  constexpr size_t kAlign = 64;  // a cache line: no register load of a tile crosses one more
  if (node >= regions_.size()) regions_.resize(node + 1);
  const size_t offset = regions_[node].bytes;
  regions_[node].bytes += (bytes + kAlign - 1) / kAlign * kAlign;
  return offset;
}

size_t NodeArena::reserved() const {
  size_t bytes = 0;
  for (const Region& region : regions_) bytes += region.bytes;
  return bytes;
}

Result<void> NodeArena::allocate(const char* what, std::span<const int> nodes) {
  const size_t page = page_size_bytes();
  size_t end = 0;
  for (size_t i = 0; i < regions_.size(); ++i) {
    regions_[i].begin = end;
    if (i < nodes.size()) regions_[i].node = nodes[i];
    end += (regions_[i].bytes + page - 1) / page * page;
  }
  if (regions_.size() == 1) end = regions_[0].bytes;
  NIBBLE_TRY(buffer_, Buffer::allocate(end, what));
  for (const Region& region : regions_) {
    // Refused (a container may): the nodes' own workers write first, which does nearly the same.
    if (region.node >= 0) place_pages(buffer_.as() + region.begin, region.bytes, {&region.node, 1});
  }
  return {};
}

PageSample NodeArena::sample() const {
  PageSample all;
  for (const Region& region : regions_) {
    if (region.node < 0 || region.bytes == 0) continue;
    all.add(sample_pages(buffer_.as() + region.begin, region.bytes, region.node));
  }
  return all;
}

}  // namespace nibble
