// On which memory node pages lie: asking for it, and checking it.
//
// The system calls are made directly (mbind, move_pages); a container may forbid them. Pages that
// were not asked for come from the node of the thread that first writes them, so weights packed by
// a node's own workers lie right even then. Thread-safe. Read next: team_plan.h, docs/numa.md.
#pragma once

#include <cstddef>
#include <span>

namespace nibble {

// Wants the pages of [begin, begin + bytes), rounded out to whole ones and not yet written, from
// these nodes (the system's numbers): from one, or from several page by page in turn. A full node
// is not an error: the pages then come from elsewhere. False when the system refuses.
bool place_pages(const void* begin, size_t bytes, std::span<const int> nodes);

// Pages looked at, and how many of them are where they should be.
struct PageSample {
  size_t pages = 0;
  size_t right = 0;
  void add(const PageSample& other) {
    pages += other.pages;
    right += other.right;
  }
};

// Looks at up to `most` pages, evenly over the range. Pages never written are not counted; no pages
// at all when the system does not tell.
PageSample sample_pages(const void* begin, size_t bytes, int node, size_t most = 256);

}  // namespace nibble
