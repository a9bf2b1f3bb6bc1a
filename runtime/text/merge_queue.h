// A priority queue for candidates that mostly come in order: a few sorted runs beside a heap.
//
// Merging finds candidates from left to right, so those of one priority come in ascending order;
// appended to a run they cost one comparison each way, where a heap of millions misses the cache at
// every level. What fits no run goes to the heap, so the order is exact and n log n the worst.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <vector>

namespace nibble {

// T needs operator> alone. Among equals the order is open. For one thread.
template <typename T>
class MergeQueue {
 public:
  void clear() {
    for (Run& run : runs_) run.clear();
    heap_.clear();
  }

  void push(const T& item) {
    for (Run& run : runs_) {
      if (!run.empty() && run.items.back() > item) continue;
      run.items.push_back(item);
      return;
    }
    heap_.push_back(item);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  // Takes the smallest into `item`; false when there is none.
  bool pop(T* item) {
    Run* best = nullptr;
    for (Run& run : runs_) {
      if (!run.empty() && (best == nullptr || best->front() > run.front())) best = &run;
    }
    if (!heap_.empty() && (best == nullptr || best->front() > heap_.front())) {
      *item = heap_.front();
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.pop_back();
      return true;
    }
    if (best == nullptr) return false;
    *item = best->front();
    if (++best->taken == best->items.size()) best->clear();
    return true;
  }

 private:
  struct Run {
    std::vector<T> items;  // ascending
    size_t taken = 0;      // from the front; never all of them
    bool empty() const { return items.empty(); }
    const T& front() const { return items[taken]; }
    void clear() {
      items.clear();
      taken = 0;
    }
  };

  std::array<Run, 6> runs_;
  std::vector<T> heap_;
};

}  // namespace nibble
