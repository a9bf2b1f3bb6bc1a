// Memory in one region for each memory node, allocated once for all that was reserved.
//
// Not thread-safe. Read next: placement.h, weights.h (the user), docs/numa.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nibble/result.h"
#include "runtime/machine/memory.h"
#include "runtime/machine/placement.h"

namespace nibble {

class NodeArena {
 public:
  // Room in the region of node `node` (0, 1, ..), at a cache line's border; returns where in it.
  size_t reserve(size_t node, size_t bytes);
  // Bytes reserved so far, in all regions.
  size_t reserved() const;

  // Allocates the regions. With `nodes` (the system's numbers, one for each region) each is wanted
  // on its node; without, where it is first written. Error 71 as Buffer::allocate.
  Result<void> allocate(const char* what, std::span<const int> nodes);

  uint8_t* at(size_t node, size_t offset) const {
    return buffer_.as() + regions_[node].begin + offset;
  }
  size_t size() const { return buffer_.size(); }
  // Where the pages that were written lie; no pages if nothing was asked for.
  PageSample sample() const;

 private:
  struct Region {
    size_t begin = 0;
    size_t bytes = 0;
    int node = -1;  // the system's number; -1: any
  };
  std::vector<Region> regions_;
  Buffer buffer_;
};

}  // namespace nibble
